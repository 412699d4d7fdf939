import type { Task } from '../../../dashboard/page/parts/api-types.js';

/** Returns a running task with the given overrides. */
export function aTask(given: Partial<Task> = {}): Task {
  return {
    ...{
      id: 'a',
      name: 'chat',
      queue: 'chat',
      item: 'chat-1',
      state: 'running',
      attempt: 1,
      attempts: 3,
      progress: null,
      result: null,
      error: null,
      problem: null,
      stop: null,
      worker: 'w1',
    },
    ...{ enqueued_at: at(0), started_at: at(0), finished_at: null },
    ...given,
  };
}

/** Returns the time this many seconds after the epoch. */
export function at(seconds: number): string {
  return new Date(seconds * 1_000).toISOString();
}
