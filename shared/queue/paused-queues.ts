import { type RecordSource } from '../records/unreadable.js';
import { readQueueNames } from '../registry/reads.js';
import { baseQueue } from '../task/shards.js';
import { FOREIGN_PAUSE, type PauseRecord, pauseOf, readPauses } from './pause.js';
import type { QueuePause } from './queue-view.js';

/**
 * Returns the pauses of paused queues by logical queue, sorted: two round trips, with a command for each BullMQ queue.
 * @param among BullMQ queues. Default: all
 */
export async function readPausedQueues(source: RecordSource, among?: readonly string[]): Promise<Map<string, QueuePause>> {
  const { redis, keys, unreadable } = source;
  const [names, records] = await Promise.all([among ?? readQueueNames(source), readPauses(source)]);
  const flags = await Promise.all(
    names.map((name) => {
      const key = `${keys.jobs(name)}meta`;
      return unreadable.read(key, 'hash', redis.hexists(key, 'paused'), 0);
    }),
  );
  const paused = names.filter((_, index) => flags[index] === 1);
  const queues = [...new Set(paused.map(baseQueue))].sort();
  return new Map(
    queues.map((queue) => [
      queue,
      queuePauseOf(
        paused.filter((name) => baseQueue(name) === queue),
        records.get(queue)?.record ?? null,
      ),
    ]),
  );
}

/** Returns the pause of a queue with these paused shards. A record counts if it covers one of them. */
export function queuePauseOf(shards: readonly string[], record: PauseRecord | null): QueuePause {
  const { by, at, reason } = shards.map((shard) => pauseOf(record, shard)).find((pause) => pause !== FOREIGN_PAUSE) ?? FOREIGN_PAUSE;
  return { by, at, reason, shards };
}
