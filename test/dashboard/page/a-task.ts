import type { Task } from '../../../dashboard/page/parts/api-types.js';

/** Returns a running task with the given overrides. */
export function aTask(given: Partial<Task> = {}): Task {
  return {
    ...{
      id: 'a',
      name: 'chat',
      queue: 'chat',
      item: 'chat-1',
      tags: [],
      state: 'running',
      waiting_for: null,
      attempt: 1,
      max_attempts: 3,
      attempts: null,
      next_attempt_at: null,
      progress: null,
      result: null,
      error: null,
      problem: null,
      stop: null,
      skipped_for: null,
      dedupe_key: null,
      priority: 0,
      deadline: null,
      limits: null,
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
