import { messageOf } from './errors.js';

/**
 * Why `JSON.parse` refused a text, without the piece of that text which the engine puts into its message: what does not
 * parse may be anything, a task's input for example.
 */
export function jsonProblem(error: unknown): string {
  const [reason = ''] = messageOf(error).split(/,? ?(?:\.\.\.)?"/, 1);
  return reason === '' ? 'not JSON' : reason;
}
