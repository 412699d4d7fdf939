import { FleetError, messageOf } from '../errors.js';
import { quote } from '../keys.js';
import { type RedisConnection, describeConnection } from './connection.js';

/** Commands that take a number of keys instead of one as the first argument. */
const SCRIPT = /^(eval|evalsha|fcall)(_ro)?$/i;
/** Keys listed in a message; BullMQ's scripts take up to fourteen. */
const MOST_NAMED = 6;

/** True for an error reply of Redis. */
export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** True for Redis' error about a key of the wrong type, also within a script. */
export function isWrongType(error: unknown): error is Error {
  return error instanceof Error && /\bWRONGTYPE\b/.test(error.message);
}

/** Returns the keys of the failed command; none if the error does not have them. */
export function keysOfReply(error: unknown): string[] {
  const { name = '', args = [] } = (error as { command?: { name?: string; args?: readonly unknown[] } } | null)?.command ?? {};
  const keys = SCRIPT.test(name) ? args.slice(2, 2 + (Number(args[1]) || 0)) : args.slice(0, 1);
  return keys.map(String);
}

/** Turns a permanent error reply into `REDIS_WRONG_TYPE` or `REDIS_ERROR`. */
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

/** Returns the command that renames a key, to keep its data. */
export function moveAwayCommand(key: string): string {
  return `redis-cli RENAME ${shellWord(key)} ${shellWord(`${key}.moved`)}`;
}

function wrongTypeText(keys: readonly string[]): string {
  const [key] = keys;
  if (key === undefined) return 'a key of the fleet holds a value of the wrong type; find it with `taskfleet doctor`.';
  if (keys.length === 1) return `the key ${quote(key)} holds a value of the wrong type. Move it away: \`${moveAwayCommand(key)}\`.`;
  return (
    `one of the keys ${named(keys)} holds a value of the wrong type. Find it with \`redis-cli TYPE <key>\`; ` +
    'move it away with `redis-cli RENAME <key> <key>.moved`.'
  );
}

function named(keys: readonly string[]): string {
  const rest = keys.length - MOST_NAMED;
  return keys.slice(0, MOST_NAMED).map(quote).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

/** Quotes a word for a shell if necessary. */
function shellWord(text: string): string {
  return /^[\w.:@%+=,/-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
