import type { z } from 'zod';
import type { Me } from '../../api/routes/account.js';
import type { AuditPageJson, AuditRecordJson } from '../../api/routes/audit.js';
import type { Difference, Worker } from '../../api/routes/fleet/workers.js';
import type { Limit } from '../../api/routes/limits.js';
import type { Schedule } from '../../api/routes/schedules.js';
import type { FleetStatus } from '../../api/routes/status.js';
import type { TaskInput } from '../../api/routes/task-details/input.js';
import type { RelatedTasks } from '../../api/routes/task-details/related.js';
import type { Bulk, bulkReceipts } from '../../api/schemas/bulk.js';
import type { HistoryBody, OverviewBody } from '../../api/schemas/overview.js';
import type { StateEvent, Task, TaskState } from '../client.js';

/** The API's response types, derived from its schemas. Type-only imports: no server code reaches the browser. */
export type BulkReceipts = z.output<typeof bulkReceipts>;
/** The body of `GET /limits`. */
export interface LimitPage {
  readonly limits: readonly Limit[];
  readonly next: string | null;
}
export type { Attempt, Enqueued, Failure, LogLine, Receipt, Task, TaskPage, TaskState } from '../client.js';
export type { AuditPageJson, AuditRecordJson, Bulk, Difference, FleetStatus, Limit, Me, RelatedTasks, Schedule, TaskInput, Worker };
export type { HistoryBody as History, OverviewBody as Overview };

/** The data of a `change` event of the live list. */
export interface ListChange {
  readonly changed: readonly Task[];
  readonly removed: readonly string[];
}

/** The data of a task's `state` event. */
export type StateChange = Omit<StateEvent, 'type' | 'id'>;

/** Decides which buttons the page shows. The API enforces the same rules; hiding a button protects nothing. */
export function mayStop({ role, items }: Me): boolean {
  return mayOperate({ role }) || (role === 'submitter' && items !== null);
}

/** Returns whether the caller may retry tasks and run schedules. */
export function mayOperate({ role }: Pick<Me, 'role'>): boolean {
  return role === 'operator' || role === 'admin';
}

export function isTerminal(state: TaskState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled' || state === 'skipped';
}

/** Returns whether a task in this state can be retried. */
export function isRetryable(state: TaskState): boolean {
  return isTerminal(state) && state !== 'completed';
}
