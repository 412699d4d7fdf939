import type {
  BulkOptions,
  BulkResult,
  DrainOptions,
  EnqueueOptions,
  EnqueuedTask,
  EventOptions,
  LimitListOptions,
  LimitPage,
  LimitView,
  ListOptions,
  LogLine,
  LogOptions,
  PauseOptions,
  PlanList,
  QueueView,
  ScheduleView,
  StopItemOptions,
  StopOptions,
  StopReceipt,
  TaskCount,
  TaskEvent,
  TaskFilter,
  TaskPage,
  TaskView,
  WaitOptions,
  WorkerView,
} from '../../producer/index.js';
import type { TaskDefinition } from '../../shared/task/definition.js';

/**
 * The operations that commands need, over Redis or over the HTTP API. Each behaves and throws like the producer method of
 * the same name; errors of the API connection itself are CliErrors.
 */
export interface FleetClient {
  readonly schedules: ScheduleClient;
  readonly limits: LimitClient;
  readonly queues: QueueClient;
  readonly workers: WorkerClient;
  /** @param task a definition, or a name that the implementation looks up. @throws FleetError `UNKNOWN_TASK` */
  enqueue<Input, Output>(
    task: string | TaskDefinition<Input, Output, unknown>,
    input: Input,
    options?: EnqueueOptions,
  ): Promise<EnqueuedTask<Output>>;
  get(id: string): Promise<TaskView | null>;
  list(options: ListOptions): Promise<TaskPage>;
  count(filter: TaskFilter): Promise<TaskCount>;
  /** `by` defaults to the user's name. Over the API it is always the token's name. */
  stop(ids: readonly string[], options: StopOptions): Promise<StopReceipt[]>;
  stopItem(item: string, options: StopItemOptions): Promise<StopReceipt[]>;
  retry(ids: readonly string[]): Promise<TaskView[]>;
  /** `by` as for `stop`. Over the API, a bulk is a task, which an abort of the signal leaves running. */
  stopWhere(filter: TaskFilter, call: BulkCall & Pick<StopOptions, 'reason' | 'by'>): Promise<BulkResult>;
  retryWhere(filter: TaskFilter, call: BulkCall): Promise<BulkResult>;
  result<Output = unknown>(task: string | EnqueuedTask<Output>, options?: Pick<WaitOptions, 'signal'>): Promise<Output>;
  events(id: string, options?: EventOptions): AsyncGenerator<TaskEvent, void, undefined>;
  logs(id: string, options?: LogOptions): AsyncGenerator<LogLine, void, undefined>;
  plans(): Promise<PlanList>;
}

export interface BulkCall extends Pick<BulkOptions, 'dryRun' | 'all' | 'onProgress' | 'signal'> {
  /** Called with the id of the bulk's task, if it is one. */
  readonly onBegun?: (id: string) => void;
}

export interface ScheduleClient {
  list(): Promise<ScheduleView[]>;
  runNow(id: string): Promise<EnqueuedTask>;
  /** Returns false if there is no such schedule. */
  remove(id: string): Promise<boolean>;
}

export interface LimitClient {
  list(options: LimitListOptions): Promise<LimitPage>;
  /** @param key null for the limit on all tasks of the name */
  set(name: string, key: string | null, limit: number): Promise<LimitView>;
  /** Returns false if nothing was set. */
  clear(name: string, key: string | null): Promise<boolean>;
}

export interface QueueClient {
  list(): Promise<QueueView[]>;
  /** `by` as in `stop`. */
  pause(name: string, options: PauseOptions): Promise<QueueView>;
  resume(name: string): Promise<QueueView>;
}

export interface WorkerClient {
  /** Live workers, then those that died within a week. */
  list(): Promise<WorkerView[]>;
  /** `by` defaults to the user's name. Over the API it is always the token's name. */
  drain(id: string, options: DrainOptions): Promise<WorkerView>;
  resume(id: string): Promise<WorkerView>;
}
