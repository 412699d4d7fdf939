import { PARKED_SCORE } from '../../shared/limiter/parked-jobs.js';
import { MAINTENANCE_QUEUE, isScheduledRun } from '../../shared/schedule/schedule.js';
import type { Store } from '../../shared/store.js';

/** BullMQ's score of a delayed job is its due time × 4,096, plus a counter. */
const SCORE_PER_MS = 4_096;

/** A delayed task. */
interface DelayedTask {
  readonly id: string;
  /** In ms since the epoch. */
  readonly due: number;
}

/** The tasks of one queue that have not ended. */
interface QueueActivity {
  readonly queue: string;
  readonly paused: boolean;
  /** Ids of running tasks. */
  readonly running: readonly string[];
  /** Ids of tasks that a worker may start now. */
  readonly ready: readonly string[];
  /** Ids of tasks in line for a limit. */
  readonly parked: readonly string[];
  /** Tasks that are due later, the next one first. */
  readonly delayed: readonly DelayedTask[];
  /** The id of the queue's last event. */
  readonly seen: string;
}

type ActivitySource = Pick<Store, 'redis' | 'keys' | 'registry' | 'clock'>;

/** What a fleet is doing at one moment, but for its own maintenance. */
export class Activity {
  constructor(readonly queues: readonly QueueActivity[]) {}

  static async read(store: ActivitySource): Promise<Activity> {
    for (;;) {
      const activity = await readActivity(store);
      // Null: a task that has ended since then has enqueued another one in a new queue.
      if (activity !== null) return activity;
    }
  }

  /** Whether no task runs and none may start. @param running false to ignore running tasks, and those in line behind them */
  isQuiet(running: boolean): boolean {
    return this.queues.every(
      (queue) => (queue.paused || queue.ready.length === 0) && (!running || (queue.running.length === 0 && queue.parked.length === 0)),
    );
  }

  /** Tasks that are due later and will start then, the next one first. */
  get delayed(): DelayedTask[] {
    return this.queues.flatMap(({ paused, delayed }) => (paused ? [] : delayed)).toSorted((a, b) => a.due - b.due);
  }

  /** Tasks that are due later and that no schedule has added. */
  get delayedByTasks(): DelayedTask[] {
    return this.delayed.filter(({ id }) => !isScheduledRun(id));
  }
}

/** Reads all queues in one transaction, so that no task is missed on its way from one list to another. Null if a queue is new. */
async function readActivity({ redis, keys, registry, clock }: ActivitySource): Promise<Activity | null> {
  const queues = (await registry.queueNames()).filter((queue) => queue !== MAINTENANCE_QUEUE);
  const transaction = redis.multi();
  for (const queue of queues) {
    const jobs = keys.jobs(queue);
    transaction
      .hexists(`${jobs}meta`, 'paused')
      .lrange(`${jobs}active`, '0', '-1')
      .lrange(`${jobs}wait`, '0', '-1')
      .zrange(`${jobs}prioritized`, '0', '-1')
      .zrange(`${jobs}delayed`, '0', '-1', 'WITHSCORES')
      .xrevrange(`${jobs}events`, '+', '-', 'COUNT', 1);
  }
  const replies = (await transaction.smembers(keys.queues).exec()) ?? [];
  const values = replies.map(([error, value]) => {
    if (error) throw error;
    return value;
  });
  const names = (values.pop() as string[]).filter((queue) => queue !== MAINTENANCE_QUEUE);
  if (names.some((name) => !queues.includes(name))) return null;
  const now = clock.now();
  return new Activity(queues.map((queue, index) => activityOf(queue, values.slice(index * READS, (index + 1) * READS), now)));
}

/** Commands for each queue. */
const READS = 6;

type Reads = [paused: number, active: string[], wait: string[], prioritized: string[], delayed: string[], events: [string, string[]][]];

function activityOf(queue: string, replies: readonly unknown[], now: number): QueueActivity {
  const [paused, running, wait, prioritized, scored, events] = replies as Reads;
  const delayed = scored.flatMap((id, index) => (index % 2 === 0 ? [{ id, score: Number(scored[index + 1]) }] : []));
  const due = delayed.filter(({ score }) => score < (now + 1) * SCORE_PER_MS);
  return {
    ...{ queue, running, paused: paused === 1 },
    ready: [...wait, ...prioritized, ...due.map(({ id }) => id)],
    parked: delayed.filter(({ score }) => score >= PARKED_SCORE).map(({ id }) => id),
    delayed: delayed
      .filter(({ score }) => score >= (now + 1) * SCORE_PER_MS && score < PARKED_SCORE)
      .map(({ id, score }) => ({ id, due: Math.floor(score / SCORE_PER_MS) })),
    seen: events[0]?.[0] ?? '0-0',
  };
}
