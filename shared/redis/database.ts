import type { Redis } from 'ioredis';
import type { RedisConnection } from './connection.js';

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
