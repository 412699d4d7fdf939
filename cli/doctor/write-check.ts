import { randomUUID } from 'node:crypto';
import { messageOf } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import { type Check, fail, ok } from './check.js';

const NAME = 'write';
const GONE_AFTER_MS = 1_000;

/** Advice by the error of a write. */
const ADVICE: readonly (readonly [error: RegExp, advice: string])[] = [
  [/^NOREPLICAS/, 'Restore the replicas, or lower min-replicas-to-write, both in redis.conf and with redis-cli config set.'],
  [/^READONLY/, 'This is a replica: set REDIS_URL to its master.'],
  [/^OOM/, 'Raise maxmemory, both in redis.conf and with redis-cli config set.'],
  [/^MISCONF/, "Check Redis's log and the free space on its disk: a snapshot failed, and stop-writes-on-bgsave-error is yes."],
  [/^NOPERM/, 'See the permissions above.'],
  [/^CLUSTERDOWN/, 'See the topology above.'],
];

/** Writes a key that expires after a second. */
export async function checkWrite(redis: RedisConnection, keys: Keys): Promise<Check> {
  try {
    await redis.set(`${keys.prefix}:doctor:${randomUUID()}`, 1, 'PX', GONE_AFTER_MS);
    return ok(NAME, 'accepted');
  } catch (error) {
    const text = messageOf(error);
    return fail(NAME, `refused: ${text}`, ADVICE.find(([pattern]) => pattern.test(text))?.[1] ?? "Check Redis's log.");
  }
}

/** The check that replaces the fleet checks if the fleet's keys cannot be read. */
export function notReadable(error: unknown): Check {
  return fail('fleet', `its keys cannot be read: ${messageOf(error)}`, 'Fix the failures above first.');
}
