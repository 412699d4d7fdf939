import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import { type LimitSettings, readLimitSettings } from '../limiter/list/published-limits.js';
import type { RecordReporter } from '../records/unreadable.js';
import { readQueueNames } from '../registry/reads.js';
import { MAINTENANCE_QUEUE } from '../schedule/schedule.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { baseQueue } from '../task/shards.js';
import { type WorkerRecord, readBeats, takesQueue } from '../workers/heartbeats.js';
import { type PauseRecord, readPauses } from './pause.js';
import { queuePauseOf } from './paused-queues.js';
import { type QueueRate, readQueueNamesOfTasks, readRates } from './queue-counters.js';
import { type QueueReading, type QueueSizes, oldestOf, readQueue } from './queue-reading.js';
import type { QueuePause, QueueView } from './queue-view.js';

interface QueueSource {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
  readonly clock: Pick<FleetClock, 'now'>;
}

/** A BullMQ queue and its state. */
interface ReadShard extends QueueReading {
  readonly name: string;
}

/** What the views of all queues are made from. */
interface Facts {
  readonly pauses: ReadonlyMap<string, { readonly record: PauseRecord }>;
  readonly rates: ReadonlyMap<string, QueueRate>;
  readonly limits: LimitSettings;
  /** Task names by queue. */
  readonly names: ReadonlyMap<string, ReadonlySet<string>>;
  readonly workers: readonly WorkerRecord[];
}

/**
 * Describes logical queues, sorted by name: one script for each BullMQ queue, whose cost does not grow with its tasks, and a few commands
 * for all of them.
 * @param only the queue to describe. Default: all
 */
export async function listQueues(source: QueueSource, only?: string): Promise<QueueView[]> {
  const [names, pauses, limits, { alive }, rates, tasks] = await Promise.all([
    readQueueNames(source),
    readPauses(source),
    readLimitSettings(source),
    readBeats(source),
    readRates(source),
    readQueueNamesOfTasks(source),
  ]);
  const now = source.clock.now();
  const wanted = names.filter((name) => only === undefined || baseQueue(name) === only);
  const shards = await Promise.all(wanted.map(async (name): Promise<ReadShard> => ({ name, ...(await readQueue(source, name, now)) })));
  const facts: Facts = { pauses, rates, limits, names: tasks, workers: alive };
  return [...new Set(wanted.map(baseQueue))].sort().map((name) =>
    viewOf(
      name,
      shards.filter((shard) => baseQueue(shard.name) === name),
      facts,
    ),
  );
}

function viewOf(name: string, shards: readonly ReadShard[], { pauses, rates, limits, names, workers }: Facts): QueueView {
  const sum = (size: keyof QueueSizes): number => shards.reduce((total, { sizes }) => total + sizes[size], 0);
  const oldestWait = oldestOf(shards.flatMap((shard) => shard.oldestWait ?? []));
  const taking = workers.filter((worker) => takesQueue(worker, name));
  const wrong = shards.flatMap(({ wrong: keys }) => keys);
  return {
    name,
    shards: shards.map((shard) => shard.name),
    builtIn: name === MAINTENANCE_QUEUE,
    paused: pausedOf(shards, pauses.get(name)?.record ?? null),
    counts: {
      ...{ queued: sum('waiting') + sum('prioritized'), inLine: sum('parked'), scheduled: sum('delayed'), waiting: sum('waitingChildren') },
      ...{ running: sum('active'), completed: sum('completed'), cancelled: sum('cancelled'), failed: sum('failed') - sum('cancelled') },
    },
    oldestWaitMs: oldestWait && oldestWait.ms,
    oldestWaitTask: oldestWait && { id: oldestWait.id, name: oldestWait.name },
    inPerMinute: rates.get(name)?.enqueued ?? 0,
    outPerMinute: rates.get(name)?.ended ?? 0,
    limits: countLimits(limits, names.get(name) ?? new Set()),
    concurrency: shards.find(({ concurrency }) => concurrency !== null)?.concurrency ?? null,
    workers: taking.map(({ id }) => id),
    slots: taking.reduce((total, { slots }) => total + (slots ?? 0), 0),
    problem: wrong.length === 0 ? null : `keys of the wrong type: ${wrong.join(', ')}`,
  };
}

function pausedOf(shards: readonly ReadShard[], record: PauseRecord | null): QueuePause | null {
  const paused = shards.flatMap(({ name, paused: isPaused }) => (isPaused ? [name] : []));
  return paused.length === 0 ? null : queuePauseOf(paused, record);
}

function countLimits({ published }: LimitSettings, names: ReadonlySet<string>): number {
  return [...published.values()].filter(({ name }) => names.has(name)).length;
}
