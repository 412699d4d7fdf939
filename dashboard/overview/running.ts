import { parseStop } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';

/** A task that has been running, or waiting for its stop to settle, for long. */
export interface LongRun {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** Since the start of its attempt. */
  readonly runMs: number;
  /** Since its stop was recorded; null without a stop. */
  readonly stoppingMs: number | null;
}

/** Shorter runs never count as long. */
const MIN_RUN_MS = 60_000;
/** Limit on the jobs of a queue that one script reads, from the oldest: about a millisecond. */
const EXAMINED = 1_000;
const RETURNED = 200;

/** Finds the tasks that have been running for a minute or are being stopped, at most 200 of each queue, oldest first. */
export async function findLongRuns(
  { redis, keys, clock, unreadable }: Pick<Store, 'redis' | 'keys' | 'clock' | 'unreadable'>,
  queues: readonly string[],
): Promise<LongRun[]> {
  const now = clock.now();
  const ofQueues = await Promise.all(
    queues.map(async (queue) => {
      const key = `${keys.jobs(queue)}active`;
      const reading = redis.findLongRuns(key, keys.jobs(queue), now - MIN_RUN_MS, EXAMINED, RETURNED);
      const words = await unreadable.read(key, 'list', reading, []);
      return Array.from({ length: words.length / 4 }, (_, index) => {
        const [id = '', name = '', start, stop] = words.slice(4 * index, 4 * index + 4);
        const stoppedAt = stop ? (parseStop(stop, null)?.at?.getTime() ?? null) : null;
        // A stop record written by hand may lack a time (0).
        return { id, queue, name, runMs: now - Number(start), stoppingMs: stoppedAt ? now - stoppedAt : null };
      });
    }),
  );
  return ofQueues.flat();
}
