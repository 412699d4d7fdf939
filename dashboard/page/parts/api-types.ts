import type { z } from 'zod';
import type { Me } from '../../api/routes/account.js';
import type { Stats, Worker } from '../../api/routes/fleet.js';
import type { Schedule } from '../../api/routes/schedules.js';
import type { enqueued, problem, receipt, task, taskPage, taskState } from '../../api/schemas/task.js';

/** The API's response types, derived from its schemas. Type-only imports: no server code reaches the browser. */
export type Task = z.output<typeof task>;
export type TaskState = z.output<typeof taskState>;
export type TaskPage = z.output<typeof taskPage>;
export type Receipt = z.output<typeof receipt>;
export type Enqueued = z.output<typeof enqueued>;
export type Problem = z.output<typeof problem>;
export type { Me, Schedule, Stats, Worker };

/** The data of a `change` event of the live list. */
export interface ListChange {
  readonly changed: readonly Task[];
  readonly removed: readonly string[];
}

/** The data of a task's `state` event. */
export interface StateChange {
  readonly state: TaskState;
  readonly receipt: Receipt | null;
  readonly task: Task | null;
}

/** Decides which buttons the page shows. The API enforces the same rules; hiding a button protects nothing. */
export function mayStop({ role, items }: Me): boolean {
  return mayOperate({ role }) || (role === 'submitter' && items !== null);
}

/** Returns whether the caller may retry tasks and run schedules. */
export function mayOperate({ role }: Pick<Me, 'role'>): boolean {
  return role === 'operator' || role === 'admin';
}
