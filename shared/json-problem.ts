import { messageOf } from './errors.js';

/** Returns why `JSON.parse` refused a text, without the excerpt that V8 quotes: it may be part of a task's input. */
export function jsonProblem(error: unknown): string {
  const [reason = ''] = messageOf(error).split(/,? ?(?:\.\.\.)?"/, 1);
  return reason === '' ? 'not JSON' : reason;
}
