import type { LogLine } from '../../parts/api-types.js';
import { failureTitle } from '../attempts/attempt-text.js';

/** The levels of pino, from the lowest. */
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

/** Returns whether a line of this level is shown. A line without a level, of a plain BullMQ client, counts as `info`. */
export function isShown(level: string | null, lowest: string): boolean {
  return rank(level ?? 'info') >= rank(lowest);
}

function rank(level: string): number {
  return (LEVELS as readonly string[]).indexOf(level);
}

/** Returns how many lines are missing between two numbers of lines. */
export function missingBefore(seq: number, last: number): number {
  return Math.max(0, seq - last - 1);
}

/** Formats a time as `14:03:09.120`, in the user's time zone. */
export function timeOfDay(iso: string): string {
  const date = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** Formats the error of a line and its causes: `TypeError [E_ROWS]: no rows; caused by Error: lost`. Null for none. */
export function errorText({ error, err }: LogLine['fields']): string | null {
  const titles = chainOf(error ?? err).map(({ name = 'Error', code, message }) =>
    failureTitle({ name: String(name), code: typeof code === 'string' ? code : null, message: String(message) }),
  );
  return titles.length === 0 ? null : titles.join('; caused by ');
}

/** Returns the stack of the line's error, with the stacks of its causes; null for none. */
export function stackIn({ error, err }: LogLine['fields']): string | null {
  const stacks = chainOf(error ?? err).flatMap(({ stack }) => (typeof stack === 'string' ? [stack] : []));
  return stacks.length === 0 ? null : stacks.join('\nCaused by: ');
}

/** Formats the other fields of a line as JSON; `''` for none. */
export function fieldsText(fields: LogLine['fields']): string {
  const others = Object.entries(fields).filter(([name, value]) => !((name === 'error' || name === 'err') && chainOf(value).length > 0));
  return others.length === 0 ? '' : JSON.stringify(Object.fromEntries(others));
}

/** Returns a logged error and its causes; empty for another value. */
function chainOf(value: unknown): Readonly<Record<string, unknown>>[] {
  const chain: Readonly<Record<string, unknown>>[] = [];
  for (let at = value; typeof at === 'object' && at !== null && 'message' in at; at = 'cause' in at ? at.cause : null)
    chain.push({ ...at });
  return chain;
}
