import type { Limiter } from '../../limiter/limiter.js';
import { FOREIGN_PAUSE, pauseOf, readPause } from '../../queue/pause.js';
import type { RecordSource } from '../../records/unreadable.js';
import { baseQueue } from '../shards.js';
import { type TaskWaiting, limitWaitOf, pauseWaitOf } from './waiting.js';

/** A task that has not started, by its job. */
export interface WaitingTask {
  readonly id: string;
  /** Whether its job is parked, or delayed and has limits: then only the limiter knows what it waits for. */
  readonly limited: boolean;
  /** Whether its queue is paused. */
  readonly paused: boolean;
  /** Whether it could start now, or is parked. */
  readonly ready: boolean;
}

/** What a task waits for. */
export interface Wait {
  readonly waitingFor: TaskWaiting | null;
  /** Whether the limiter has a record of it: then it is queued, although its job is delayed. */
  readonly limited: boolean;
}

interface WaitSource extends RecordSource {
  readonly limiter: Pick<Limiter, 'standings'>;
}

/**
 * Returns what tasks of one queue wait for: at most one round trip for any number of them, and none for tasks without limits whose queue is
 * not paused. A task that its rate delays has a record in the limiter, one with a delay of its own has none.
 * @param queue the tasks' BullMQ queue
 * @param behind whether to name the tasks that hold places of a key
 */
export async function readWaits(
  source: WaitSource,
  queue: string,
  tasks: readonly WaitingTask[],
  behind: boolean,
): Promise<Map<string, Wait>> {
  const { keys, limiter, unreadable } = source;
  const limited = tasks.filter((task) => task.limited).map(({ id }) => id);
  const base = baseQueue(queue);
  const isPaused = tasks.some((task) => task.paused && (task.ready || task.limited));
  const [standings, pause] = await Promise.all([
    limited.length === 0
      ? new Map<string, null>()
      : unreadable.read(keys.limiter('tasks'), 'hash', limiter.standings(limited), new Map<string, null>()),
    isPaused ? readPause(source, base).then((record) => pauseOf(record, queue)) : FOREIGN_PAUSE,
  ]);
  return new Map(
    tasks.flatMap(({ id, paused, ready }): [string, Wait][] => {
      const standing = standings.get(id);
      const isLimited = standing !== undefined;
      const limitWait = standing ? limitWaitOf(standing, behind) : null;
      if (paused && (ready || isLimited)) return [[id, { limited: isLimited, waitingFor: pauseWaitOf(base, pause, limitWait) }]];
      return isLimited ? [[id, { limited: true, waitingFor: limitWait }]] : [];
    }),
  );
}
