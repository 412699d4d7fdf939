import { randomUUID } from 'node:crypto';
import { messageOf } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import { type Check, fail, ok } from './check.js';

const NAME = 'write';
const GONE_AFTER_MS = 1_000;

/** By what Redis says to a write. */
const ADVICE: readonly (readonly [says: RegExp, advice: string])[] = [
  [/^NOREPLICAS/, 'Bring its replicas back, or lower min-replicas-to-write in redis.conf, and now with redis-cli config set.'],
  [/^READONLY/, 'It is a replica: set REDIS_URL to its master.'],
  [/^OOM/, 'Give Redis more memory: maxmemory in redis.conf, and now with redis-cli config set.'],
  [/^MISCONF/, "Look at Redis's log and at the free space on its disk: it could not save, and stop-writes-on-bgsave-error is yes."],
  [/^NOPERM/, 'See the permissions above.'],
  [/^CLUSTERDOWN/, 'See the topology above.'],
];

/** Writes a key that is gone a second later. */
export async function checkWrite(redis: RedisConnection, keys: Keys): Promise<Check> {
  try {
    await redis.set(`${keys.prefix}:doctor:${randomUUID()}`, 1, 'PX', GONE_AFTER_MS);
    return ok(NAME, 'taken');
  } catch (error) {
    const text = messageOf(error);
    return fail(NAME, `refused: ${text}`, ADVICE.find(([says]) => says.test(text))?.[1] ?? "Look at Redis's log.");
  }
}

/** Instead of what is said of the fleet. */
export function notReadable(error: unknown): Check {
  return fail('fleet', `its keys cannot be read: ${messageOf(error)}`, 'Correct what fails above first.');
}
