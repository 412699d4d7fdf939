import type { QueueCounts, QueueView } from '../../shared/queue/queue-view.js';

/** The tasks of queues by state, in the API's JSON format. */
export interface QueueFigures {
  readonly queued: number;
  readonly in_line: number;
  readonly scheduled: number;
  readonly waiting: number;
  readonly running: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
}

const NAMES = ['queued', 'in_line', 'scheduled', 'waiting', 'running', 'completed', 'failed', 'cancelled'] as const;

export function figuresOf({ inLine, ...counts }: QueueCounts): QueueFigures {
  return { ...counts, in_line: inLine };
}

export function sumOf(figures: readonly QueueFigures[]): QueueFigures {
  const sums = NAMES.map((name) => [name, figures.reduce((sum, each) => sum + each[name], 0)] as const);
  return Object.fromEntries(sums) as unknown as QueueFigures;
}

/** Returns the task that has waited longest, and its queue; null if none waits. */
export function oldestWaitOf(queues: readonly QueueView[]): { queue: string; task: string; name: string | null; ms: number } | null {
  const waits = queues.flatMap(({ name: queue, oldestWaitMs: ms, oldestWaitTask: task }) =>
    ms !== null && task ? [{ queue, task: task.id, name: task.name, ms }] : [],
  );
  return waits.toSorted((a, b) => b.ms - a.ms)[0] ?? null;
}
