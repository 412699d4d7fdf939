import { configOf, optionsOf } from '../shared/arguments.js';
import type { TaskEvent } from '../shared/events/event.js';
import { checkItem } from '../shared/keys.js';
import type { LogLine, LogPage } from '../shared/log/task-log.js';
import type { RetryReceipt } from '../shared/retry/task-retry.js';
import type { TaskCount } from '../shared/search/search.js';
import type { StopReceipt } from '../shared/stop/receipt.js';
import type { StepHook, Store } from '../shared/store.js';
import type { AnyDefinition, TaskDefinition } from '../shared/task/definition.js';
import type { TaskFilter } from '../shared/task/filter/filter.js';
import type { ChildEnqueuer, ChildOptions, ChildTask, ParentTask } from '../shared/task/handler.js';
import type { TaskState } from '../shared/task/state.js';
import type { TaskView } from '../shared/task/view.js';
import type { Telemetry } from '../shared/tracing/telemetry.js';
import { idOf, idsOf, signalOptionsOf } from './arguments.js';
import type { Billing } from './billing.js';
import type { BulkResult, RetryWhereOptions, StopWhereOptions } from './bulk/task-bulk.js';
import { Components } from './components.js';
import type { ProducerConfig } from './config.js';
import type { EnqueuedTask } from './enqueue/enqueued-task.js';
import type { EnqueueOptions } from './enqueue/prepare.js';
import type { ItemTokens } from './item-tokens.js';
import type { Limits } from './limits/limits.js';
import type { CountOptions, ListOptions, TaskPage } from './list.js';
import type { QueueControl } from './queues/queues.js';
import type { Schedules } from './schedule/schedules.js';
import type { StopItemOptions, StopTasksOptions } from './stop.js';
import type { Usage } from './usage.js';
import type { LogOptions, LogPageOptions } from './wait/task-logs.js';
import type { EventOptions } from './wait/wait-calls.js';
import type { WaitOptions } from './wait/watch.js';
import type { Workers } from './workers/workers.js';

/**
 * The client that a service embeds to enqueue, stop, list, await and follow tasks. Uses one connection for commands, a second one
 * for waits and events, and one more each for ENQUEUE_WAIT_REPLICAS and STOP_WAIT_REPLICAS. While Redis is unavailable,
 * every call fails within about a second with `REDIS_UNAVAILABLE`.
 */
export class Producer implements ChildEnqueuer {
  readonly #components: Components;
  #closing: Promise<void> | null = null;

  constructor(config: ProducerConfig);
  /** @internal Tests pass a hook, and the test kit its own parts. */
  constructor(config: ProducerConfig, onStep: StepHook | undefined, components?: Components);
  constructor(config: ProducerConfig, onStep?: StepHook, components: Components = new Components(config, onStep)) {
    this.#components = components;
  }

  get billing(): Billing {
    return this.#components.billing;
  }

  get itemTokens(): ItemTokens {
    return this.#components.itemTokens;
  }

  get limits(): Limits {
    return this.#components.limitSettings;
  }

  get queues(): QueueControl {
    return this.#components.queues;
  }

  get schedules(): Schedules {
    return this.#components.schedules;
  }

  get usage(): Usage {
    return this.#components.usage;
  }

  get workers(): Workers {
    return this.#components.workers;
  }

  /** @internal The store that this producer is built on, for a dashboard over the same connection. */
  get store(): Store {
    return this.#components.store;
  }

  /** @internal The telemetry of this producer; null for none. */
  get telemetry(): Telemetry | null {
    return this.#components.telemetry;
  }

  /**
   * Adds a task.
   * @throws FleetError `INVALID_INPUT` (naming the field), `INPUT_TOO_LARGE`, `INVALID_ID`, `INVALID_ITEM`,
   *   `INVALID_OPTION`, `ITEM_BUSY`; `REDIS_UNAVAILABLE`, `REDIS_OUT_OF_MEMORY`, `REDIS_WRONG_TYPE`, `REDIS_ERROR` or `CLOSED`, whose
   *   `details.exists` says whether the task exists; `NOT_REPLICATED`: the task was added, and it is safe to enqueue it again under the
   *   id in `details.ids`
   */
  async enqueue<Input, Output>(
    definition: TaskDefinition<Input, Output, unknown>,
    input: Input,
    options?: EnqueueOptions,
  ): Promise<EnqueuedTask<Output>> {
    return (await this.#components.adding.enqueue(definition, input, options)) as EnqueuedTask<Output>;
  }

  /**
   * Adds a child task. Workers call it for `context.enqueue`.
   * @throws as `enqueue`; StopRequested if the parent was stopped
   */
  async enqueueChild(parent: ParentTask, definition: AnyDefinition, input: unknown, options?: ChildOptions): Promise<ChildTask> {
    return this.#components.adding.enqueueChild(parent, definition, input, options);
  }

  /**
   * Adds many tasks of one definition. Validates all of them first: if one is invalid, none is added.
   * @throws as `enqueue`; `details.added` lists the ids of the tasks that exist, `details.unknown` those that may exist
   */
  async enqueueMany<Input, Output>(
    definition: TaskDefinition<Input, Output, unknown>,
    tasks: Iterable<{ readonly input: Input } & EnqueueOptions>,
  ): Promise<EnqueuedTask<Output>[]> {
    return (await this.#components.adding.enqueueMany(definition, tasks)) as EnqueuedTask<Output>[];
  }

  /** Returns a live or retained task; null if there is none. */
  get<Output = unknown>(task: string | EnqueuedTask<Output>): Promise<TaskView<Output> | null> {
    return this.#components.waiting.get(task) as Promise<TaskView<Output> | null>;
  }

  /** Returns a page of tasks, by default live tasks, newest first. @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
  list(options?: ListOptions): Promise<TaskPage> {
    return this.#components.calls.repeatable(async () => this.#components.list.page(optionsOf(options)));
  }

  /** Counts the tasks that {@link list} finds with the same filter. @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
  count(filter?: TaskFilter, options?: CountOptions): Promise<TaskCount> {
    return this.#components.calls.repeatable(async () => this.#components.list.count(filter, optionsOf(options)));
  }

  /**
   * Counts the tasks in each state that a filter selects. A task that changes its state meanwhile may count twice, or not at all.
   * @throws FleetError `INVALID_OPTION`, `INVALID_ITEM`
   */
  countByState(filter?: TaskFilter, options?: CountOptions): Promise<Map<TaskState, TaskCount>> {
    return this.#components.calls.repeatable(async () => this.#components.list.countByState(filter, optionsOf(options)));
  }

  /** Returns whether an item has live tasks. @throws FleetError `INVALID_ITEM` */
  hasActiveTasks(item: string): Promise<boolean> {
    return this.#components.calls.repeatable(async () => this.#components.store.registry.hasActive(checkItem(item)));
  }

  /**
   * Stops one or several tasks in any state. The stop is durable once this resolves. Tasks that were not running are cancelled by
   * then; for running tasks, pass `waitMs`, or the receipt says `requested`.
   * @throws FleetError `NOT_REPLICATED`: the stop is recorded and may be repeated; `details.receipts` has the receipts
   */
  stop(id: string | EnqueuedTask, options?: StopTasksOptions): Promise<StopReceipt>;
  stop(ids: readonly (string | EnqueuedTask)[], options?: StopTasksOptions): Promise<StopReceipt[]>;
  stop(task: string | EnqueuedTask | readonly (string | EnqueuedTask)[], options?: StopTasksOptions): Promise<StopReceipt | StopReceipt[]> {
    return this.#components.calls.repeatable(async () => {
      const receipts = await this.#components.stop.stop(idsOf(task), optionsOf(options));
      return Array.isArray(task) ? receipts : (receipts[0] as StopReceipt);
    });
  }

  /** Stops every live task of an item; with `dryRun`, only returns what would be stopped. @throws as `stop`; FleetError `INVALID_ITEM` */
  stopItem(item: string, options?: StopItemOptions): Promise<StopReceipt[]> {
    return this.#components.calls.repeatable(async () => this.#components.stop.stopItem(item, optionsOf(options)));
  }

  /**
   * Retries one or several failed, cancelled or skipped tasks: each gets its full number of attempts again, and its stop is cleared. If one
   * cannot be retried, none is. Returns the updated tasks.
   * @throws FleetError `TASK_NOT_FOUND`, `TASK_NOT_RETRYABLE`
   */
  retry(id: string | EnqueuedTask): Promise<TaskView>;
  retry(ids: readonly (string | EnqueuedTask)[]): Promise<TaskView[]>;
  retry(task: string | EnqueuedTask | readonly (string | EnqueuedTask)[]): Promise<TaskView | TaskView[]> {
    return this.#components.calls.once(async () => {
      const tasks = await this.#components.retry.retry(idsOf(task));
      return Array.isArray(task) ? tasks : (tasks[0] as TaskView);
    });
  }

  /**
   * Stops every live task that a filter selects, page by page; with `dryRun`, counts them and returns the first ten. Leaves out tasks
   * enqueued after its start. It may be interrupted and repeated: a repetition stops the rest.
   * @throws as `stop`; FleetError `INVALID_OPTION` for a filter without a condition and without `all`; the signal's reason
   */
  async stopWhere(filter: TaskFilter, options?: StopWhereOptions): Promise<BulkResult<StopReceipt>> {
    return this.#components.bulk.stopWhere(filter, options);
  }

  /** Retries every failed task that a filter selects, or cancelled and skipped ones by its `state`, as `stopWhere` stops tasks. */
  async retryWhere(filter: TaskFilter, options?: RetryWhereOptions): Promise<BulkResult<RetryReceipt>> {
    return this.#components.bulk.retryWhere(filter, options);
  }

  /**
   * Waits until a task completes, and returns its result: typed by the task that `enqueue` returned, or by its definition, whose codecs
   * decode it. Of a task given by its id alone, the result is the stored JSON.
   * @throws TaskCancelled with the receipt, if it was stopped or removed before it ended; FleetError `TASK_FAILED`, whose
   *   `cause` is the error of the last attempt, `TASK_SKIPPED`, `TASK_NOT_FOUND`, `WAIT_TIMEOUT`, `INVALID_DEFINITION` if the task has
   *   another one, `INVALID_OUTPUT` if the result does not match it; the signal's reason
   */
  result<Output = unknown>(task: string | EnqueuedTask<Output>, options?: WaitOptions): Promise<Output>;
  result<Input, Output>(
    definition: TaskDefinition<Input, Output, unknown>,
    task: string | EnqueuedTask,
    options?: WaitOptions,
  ): Promise<Output>;
  result(...given: readonly unknown[]): Promise<unknown> {
    return this.#components.waiting.result(given);
  }

  /**
   * Waits until a task has completed, failed or been skipped, and returns it.
   * @throws TaskCancelled with the receipt, if it was stopped or removed before it ended; FleetError `TASK_NOT_FOUND`,
   *   `WAIT_TIMEOUT`; the signal's reason
   */
  waitUntilFinished<Output = unknown>(task: string | EnqueuedTask<Output>, options?: WaitOptions): Promise<TaskView<Output>> {
    return this.#components.waiting.untilFinished(task, options) as Promise<TaskView<Output>>;
  }

  /**
   * Follows a task until it ends: see {@link Watch.events}. With its definition, chunks have the type of the definition's `chunk`.
   * @throws FleetError `TASK_NOT_FOUND`, `INVALID_DEFINITION` if the task has another one; the signal's reason
   */
  events(task: string | EnqueuedTask, options?: EventOptions): AsyncGenerator<TaskEvent, void, undefined>;
  events<Input, Chunk>(
    definition: TaskDefinition<Input, unknown, unknown, Chunk>,
    task: string | EnqueuedTask,
    options?: EventOptions,
  ): AsyncGenerator<TaskEvent<Chunk>, void, undefined>;
  events(...given: readonly unknown[]): AsyncGenerator<TaskEvent, void, undefined> {
    return this.#components.waiting.events(given);
  }

  /**
   * Yields the kept lines of a task's log, of all its attempts, oldest first: what its handlers wrote to `context.log`, from
   * TASK_LOG_LEVEL_KEPT on. The last 1,000 lines or 256 KiB are kept. With `follow`, new lines follow until the task ends.
   * @throws FleetError `TASK_NOT_FOUND`, `INVALID_OPTION`; the signal's reason
   */
  async *logs(task: string | EnqueuedTask, options?: LogOptions): AsyncGenerator<LogLine, void, undefined> {
    for await (const lines of this.logBatches(task, options)) yield* lines;
  }

  /** @internal Yields what `logs` yields, in groups of lines that were read together. */
  async *logBatches(task: string | EnqueuedTask, options?: LogOptions): AsyncGenerator<readonly LogLine[], void, undefined> {
    const id = idOf(task);
    const { calls, logs } = this.#components;
    try {
      await calls.ready();
      yield* logs.pages(id, signalOptionsOf(options));
    } catch (error) {
      throw calls.explain(error);
    }
  }

  /** Returns a page of a task's log. @throws FleetError `TASK_NOT_FOUND`, `INVALID_OPTION` */
  logPage(task: string | EnqueuedTask, options?: LogPageOptions): Promise<LogPage> {
    return this.#components.calls.repeatable(async () => this.#components.logs.page(idOf(task), optionsOf(options)));
  }

  /** Resolves when Redis replies. @throws FleetError `REDIS_UNAVAILABLE` */
  async ping(): Promise<void> {
    await this.#components.calls.repeatable(() => this.#components.store.redis.ping());
  }

  /** Sends pending enqueues, rejects waits with `CLOSED`, then closes the connections. Tasks keep running. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#components.close();
    return this.#closing;
  }
}

/** @throws FleetError `INVALID_SETTINGS` */
export function createProducer(config: ProducerConfig): Producer {
  return new Producer(configOf(config, 'createProducer'));
}
