import type { Redis } from 'ioredis';
import type { RedisConnection } from './connection.js';

/** Connections that were refused the database of their URL, with what the server said. */
const refusals = new WeakMap<RedisConnection, Error>();

/**
 * Lets a connection, and every copy of it, be ready in the database of its URL or not at all. ioredis goes on in database 0
 * where SELECT is refused: out of range, or not permitted. Here it ends such a connection before anything is sent over it,
 * and tries again as after every other failure.
 */
export function insistOnDatabase(redis: Redis): void {
  const select: (database: number) => Promise<'OK'> = redis.select.bind(redis);
  const duplicate = redis.duplicate.bind(redis);
  const insist = (database: number): Promise<'OK'> =>
    select(database).catch(async (error: Error) => {
      await refuse(redis, error);
      throw error;
    });
  redis.select = insist;
  redis.duplicate = (override) => {
    const copy = duplicate(override);
    insistOnDatabase(copy);
    return copy;
  };
  redis.on('connecting', () => refusals.delete(redis));
}

/** What the server said when it refused the database to the last attempt to connect; null if it did not. */
export function databaseRefusal(redis: RedisConnection): Error | null {
  return refusals.get(redis) ?? null;
}

/** Whether another user, with more rights, would be given the database. If not, the URL has to be another one. */
export function isForbidden(refusal: Error): boolean {
  return refusal.message.startsWith('NOPERM');
}

async function refuse(redis: Redis, error: Error): Promise<void> {
  // NOAUTH: the server has refused the password, or wants one, and says so by itself.
  if (error.name !== 'ReplyError' || error.message.startsWith('NOAUTH')) return;
  refusals.set(redis, error);
  const closed = new Promise<void>((resolve) => redis.once('close', () => resolve()));
  redis.disconnect(true);
  // Until then ioredis takes the connection for one that is about to be ready.
  await closed;
}
