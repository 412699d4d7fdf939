import { FleetError, messageOf } from '../errors.js';
import { quote } from '../keys.js';
import { type RedisConnection, describeConnection } from './connection.js';

/** The commands whose keys are not simply their first argument: a script has their number before them. */
const SCRIPT = /^(eval|evalsha|fcall)(_ro)?$/i;
/** Keys that a message names. A script of BullMQ takes up to fourteen. */
const MOST_NAMED = 6;

/** What Redis answered a command with. */
export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** True for Redis' error about a key that has another type than the command or script expects. */
export function isWrongType(error: unknown): error is Error {
  return error instanceof Error && /\bWRONGTYPE\b/.test(error.message);
}

/** The keys of the command that Redis answered with this error; none if the error does not tell. */
export function keysOfReply(error: unknown): string[] {
  const { name = '', args = [] } = (error as { command?: { name?: string; args?: readonly unknown[] } } | null)?.command ?? {};
  const keys = SCRIPT.test(name) ? args.slice(2, 2 + (Number(args[1]) || 0)) : args.slice(0, 1);
  return keys.map(String);
}

/** The error for callers in place of one that Redis answered with for good: `REDIS_WRONG_TYPE`, or `REDIS_ERROR`. */
export function asReplyError(redis: RedisConnection, error: unknown): FleetError {
  const keys = keysOfReply(error);
  const where = describeConnection(redis);
  if (isWrongType(error))
    return new FleetError('REDIS_WRONG_TYPE', `${where}: ${wrongTypeText(keys)}`, { cause: error, details: { keys } });
  return new FleetError('REDIS_ERROR', `${where} refused a command${keys.length > 0 ? ` on ${named(keys)}` : ''}: ${messageOf(error)}`, {
    cause: error,
    details: { keys },
  });
}

/** The command that moves a key out of the way and keeps what it holds. */
export function moveAwayCommand(key: string): string {
  return `redis-cli RENAME ${shellWord(key)} ${shellWord(`${key}.moved`)}`;
}

function wrongTypeText(keys: readonly string[]): string {
  const [key] = keys;
  if (key === undefined) return 'a key of the fleet holds a value of the wrong type; `taskfleet doctor` looks for it.';
  if (keys.length === 1) return `the key ${quote(key)} holds a value of the wrong type. Move it away: \`${moveAwayCommand(key)}\`.`;
  return `one of the keys ${named(keys)} holds a value of the wrong type. \`redis-cli TYPE <key>\` tells which; move it away with \`redis-cli RENAME <key> <key>.moved\`.`;
}

function named(keys: readonly string[]): string {
  const rest = keys.length - MOST_NAMED;
  return keys.slice(0, MOST_NAMED).map(quote).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

/** A word as a shell takes it, whatever is in it. */
function shellWord(text: string): string {
  return /^[\w.:@%+=,/-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
