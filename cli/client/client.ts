import type {
  EnqueueOptions,
  EnqueuedTask,
  EventOptions,
  ListOptions,
  PlanList,
  ScheduleView,
  StopItemOptions,
  StopOptions,
  StopReceipt,
  TaskEvent,
  TaskPage,
  TaskView,
  WaitOptions,
} from '../../producer/index.js';
import type { TaskDefinition } from '../../shared/task/definition.js';

/**
 * The operations that commands need, over Redis or over the HTTP API. Each behaves and throws like the producer method of
 * the same name; errors of the API connection itself are CliErrors.
 */
export interface FleetClient {
  readonly schedules: ScheduleClient;
  /** @param task a definition, or a name that the implementation looks up. @throws FleetError `UNKNOWN_TASK` */
  enqueue<Input, Output>(
    task: string | TaskDefinition<Input, Output, unknown>,
    input: Input,
    options?: EnqueueOptions,
  ): Promise<EnqueuedTask<Output>>;
  get(id: string): Promise<TaskView | null>;
  list(options: ListOptions): Promise<TaskPage>;
  /** `by` defaults to the user's name. Over the API it is always the token's name. */
  stop(ids: readonly string[], options: StopOptions): Promise<StopReceipt[]>;
  stopItem(item: string, options: StopItemOptions): Promise<StopReceipt[]>;
  retry(ids: readonly string[]): Promise<TaskView[]>;
  result<Output = unknown>(task: string | EnqueuedTask<Output>, options?: Pick<WaitOptions, 'signal'>): Promise<Output>;
  events(id: string, options?: EventOptions): AsyncGenerator<TaskEvent, void, undefined>;
  plans(): Promise<PlanList>;
}

export interface ScheduleClient {
  list(): Promise<ScheduleView[]>;
  runNow(id: string): Promise<EnqueuedTask>;
  /** Returns false if there is no such schedule. */
  remove(id: string): Promise<boolean>;
}
