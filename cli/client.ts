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
} from '../producer/index.js';
import type { TaskDefinition } from '../shared/task/definition.js';

/**
 * What commands ask of a fleet, whether they reach it through Redis or through its HTTP API. Each call does, and throws,
 * what the producer's of the same name does; what only a connection can get wrong is a CliError.
 */
export interface FleetClient {
  readonly schedules: ScheduleClient;
  /** @param task its definition, or its name, which the fleet's end of the connection looks up. @throws FleetError `UNKNOWN_TASK` */
  enqueue<Input, Output>(
    task: string | TaskDefinition<Input, Output, unknown>,
    input: Input,
    options?: EnqueueOptions,
  ): Promise<EnqueuedTask<Output>>;
  get(id: string): Promise<TaskView | null>;
  list(options: ListOptions): Promise<TaskPage>;
  /** Over the API `by` is the name that the token has there, whatever is given. Default: the user's name. */
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
  /** False if there was none. */
  remove(id: string): Promise<boolean>;
}
