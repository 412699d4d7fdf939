import { type Redis, ReplyError } from 'ioredis';
import { FleetError, messageOf } from '../errors.js';
import { quote } from '../keys.js';
import { type RedisConnection, describeConnection } from './connection.js';

const REPLY_ERROR = ReplyError as new () => Error & { readonly command?: object };

/** Commands that take a number of keys instead of one as the first argument. */
const SCRIPT = /^(eval|evalsha|fcall)(_ro)?$/i;
/** Keys listed in a message; BullMQ's scripts take up to fourteen. */
const MOST_NAMED = 6;

/** True for an error reply of Redis, from any copy of ioredis. The name is that of the class, which a bundler may shorten. */
export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && (error instanceof REPLY_ERROR || error.name === 'ReplyError');
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

/**
 * Error codes with which Redis refuses a command that it may run later: it is a replica, lacks its master, replicas or a part of
 * the cluster, is loading, cannot write to disk, is out of memory, or runs a script. UNBLOCKED ends blocking reads when a master
 * becomes a replica.
 */
const CODES = [
  'READONLY',
  'UNBLOCKED',
  'MASTERDOWN',
  'NOREPLICAS',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'LOADING',
  'MISCONF',
  'OOM',
  'BUSY',
] as const;

type RefusalCode = (typeof CODES)[number];

const REFUSAL = textRefusedWith(...CODES);
const OUT_OF_MEMORY = textRefusedWith('OOM');

/** True if Redis refused the command without any effect. A script is refused at its first write. */
export function isRefusal(error: unknown): error is Error {
  return isReplyError(error) && REFUSAL.test(error.message);
}

/** True if Redis is out of memory: unlike other refusals, a failover does not end it. */
export function isOutOfMemory(error: unknown): error is Error {
  return isReplyError(error) && OUT_OF_MEMORY.test(error.message);
}

/** Matches refusals with one of these codes. Up to Redis 6.2, a script's error has its command's refusal at the end. */
export function textRefusedWith(...codes: readonly RefusalCode[]): RegExp {
  return new RegExp(`^(?:ERR (?:Error running script .*: -)?)?(?:${codes.join('|')})\\b`);
}

/** Connections whose database was refused, with the server's error. */
const refusals = new WeakMap<RedisConnection, Error>();

/**
 * Makes a connection and its duplicates ready only in the URL's database. ioredis continues in database 0 if SELECT is refused
 * as out of range or not permitted; here such a connection is closed before any command is sent, and reconnects as usual.
 */
export function requireDatabase(redis: Redis): void {
  const select: (database: number) => Promise<'OK'> = redis.select.bind(redis);
  const duplicate = redis.duplicate.bind(redis);
  const selectOrClose = (database: number): Promise<'OK'> =>
    select(database).catch(async (error: Error) => {
      await refuse(redis, error);
      throw error;
    });
  redis.select = selectOrClose;
  redis.duplicate = (override) => {
    const copy = duplicate(override);
    requireDatabase(copy);
    return copy;
  };
  redis.on('connecting', () => refusals.delete(redis));
}

/** Returns the server's error if the last connection attempt was refused its database, else null. */
export function databaseRefusal(redis: RedisConnection): Error | null {
  return refusals.get(redis) ?? null;
}

/** Whether a user with more permissions could select the database. If not, the URL is wrong. */
export function isForbidden(refusal: Error): boolean {
  return refusal.message.startsWith('NOPERM');
}

async function refuse(redis: Redis, error: Error): Promise<void> {
  // NOAUTH: the server requires a password, or refused it, and reports that itself.
  if (error.name !== 'ReplyError' || error.message.startsWith('NOAUTH')) return;
  refusals.set(redis, error);
  const closed = new Promise<void>((resolve) => redis.once('close', () => resolve()));
  redis.disconnect(true);
  // Until it has closed, ioredis would still make the connection ready.
  await closed;
}
