import { formatLong } from '../../../shared/time.js';
import { type Attention, critical, several, tasksLink, warning } from './attention.js';
import type { UsualTimes } from './task-attention.js';

/** The facts about a queue that matter here. */
export interface QueueFacts {
  readonly name: string;
  readonly builtIn: boolean;
  readonly paused: { readonly by: string | null; readonly at: Date | null; readonly reason: string | null } | null;
  readonly counts: { readonly queued: number; readonly inLine: number; readonly scheduled: number };
  readonly oldestWaitMs: number | null;
  readonly oldestWaitTask: { readonly id: string; readonly name: string | null } | null;
  /** Live workers that take its tasks. */
  readonly workers: readonly string[];
  readonly problem: string | null;
}

const LONG_WAIT_MS = 300_000;
const WAIT_FACTOR = 4;

/**
 * Reports a queue that is unreadable, paused, taken by no worker or slow.
 * @param anyWorker whether any worker is alive; otherwise that is reported once for all queues
 */
export function queueAttention(queue: QueueFacts, usual: ReadonlyMap<string, UsualTimes>, anyWorker: boolean, now: number): Attention[] {
  const { name, paused, problem, builtIn } = queue;
  const unreadable = problem === null ? [] : [critical('unreadable_queue', `Queue ${name} is unreadable: ${problem}`, '/queues')];
  if (paused !== null) return [...unreadable, (builtIn ? critical : warning)('paused_queue', pauseText(queue, now), '/queues')];
  if (queue.workers.length === 0) return [...unreadable, ...(anyWorker ? untaken(queue) : [])];
  return [...unreadable, ...longWait(queue, usual)];
}

function pauseText({ name, builtIn, paused, counts }: QueueFacts, now: number): string {
  const { by = null, at = null, reason = null } = paused ?? {};
  const who = by === null ? '' : ` by ${by}`;
  const since = at === null ? '' : ` for ${formatLong(now - at.getTime())}`;
  const waiting = counts.queued + counts.inLine;
  const effect = waiting === 0 ? '' : `; ${waitingText(waiting)}`;
  const pause = `Queue ${name} has been paused${who}${since}${reason === null ? '' : ` (${reason})`}`;
  return builtIn ? `${pause}; crashes are not repaired meanwhile` : pause + effect;
}

function untaken({ name, builtIn, counts: { queued, inLine, scheduled } }: QueueFacts): Attention[] {
  if (builtIn) return [critical('untaken_queue', `No worker takes ${name}: crashes are not repaired`, '/workers')];
  const tasks = queued + inLine + scheduled;
  if (tasks === 0) return [];
  return [critical('untaken_queue', `No worker takes ${name}, where ${waitingText(tasks)}`, tasksLink({ queue: name, order: 'oldest' }))];
}

function longWait({ name, oldestWaitMs, oldestWaitTask }: QueueFacts, usual: ReadonlyMap<string, UsualTimes>): Attention[] {
  const usualMs = usual.get(oldestWaitTask?.name ?? '')?.waitP95Ms ?? 0;
  if (oldestWaitMs === null || oldestWaitMs <= Math.max(LONG_WAIT_MS, WAIT_FACTOR * usualMs)) return [];
  const link = tasksLink({ queue: name, state: 'queued', order: 'oldest' });
  return [warning('long_wait', `The oldest task on ${name} has waited for ${formatLong(oldestWaitMs)}`, link)];
}

function waitingText(tasks: number): string {
  return `${several(tasks, 'task')} ${tasks === 1 ? 'waits' : 'wait'}`;
}
