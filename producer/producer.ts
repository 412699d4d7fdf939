import { badArgument, configOf, definitionOf, isObject, optionsOf } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { checkItem } from '../shared/keys.js';
import { type LoggerFactory, createLoggerFactory } from '../shared/logger.js';
import { Replicas } from '../shared/redis/replicas.js';
import { connectToServer } from '../shared/redis/server-connection.js';
import { type Settings, type SettingsInput, resolveSettings } from '../shared/settings/settings.js';
import { CommandListener } from '../shared/stop/command-listener.js';
import type { StopReceipt } from '../shared/stop/receipt.js';
import { type ConnectedSettings, type StepHook, type Store, openStore } from '../shared/store.js';
import type { AnyDefinition, TaskDefinition } from '../shared/task/definition.js';
import type { TaskEvent } from '../shared/task/event-stream.js';
import type { ChildEnqueuer, ChildOptions, ChildTask, ParentTask } from '../shared/task/handler.js';
import type { TaskView } from '../shared/task/view.js';
import { atMost } from '../shared/time.js';
import { idOf, idsOf, listOptionsOf, signalOptionsOf, tasksOf } from './arguments.js';
import { Billing } from './billing.js';
import { CallGate } from './calls.js';
import { enqueueMany } from './enqueue/enqueue-many.js';
import { type EnqueuedTask, Enqueuer } from './enqueue/enqueuer.js';
import { enqueueFailure } from './enqueue/failure.js';
import { type EnqueueOptions, type PreparedTask, type TaskLimits, prepareChild, prepareTask } from './enqueue/prepare.js';
import { type ListOptions, TaskList, type TaskPage } from './list.js';
import { TaskRetry } from './retry.js';
import { Schedules } from './schedules.js';
import { type StopItemOptions, type StopTasksOptions, TaskStop } from './stop.js';
import { Usage } from './usage.js';
import { JobEvents } from './wait/events.js';
import { Settlement, StopReplicas } from './wait/settlement.js';
import { StreamHub } from './wait/stream-reader.js';
import { Waiter } from './wait/waiter.js';
import { type WaitOptions, Watch } from './wait/watch.js';

/** Settings by name. `redisUrl` is required; docs/settings.md lists the defaults of the others. */
export interface ProducerConfig extends SettingsInput {
  readonly redisUrl: string;
  /**
   * Listen for stop commands of other programs and record them, as workers and dashboards do, so that a stop by open-webui
   * holds even while none of them is running. Uses one more connection. Default false.
   */
  readonly listenForStops?: boolean;
  /** Default: JSON lines on standard error. */
  readonly loggers?: LoggerFactory;
}

export interface EventOptions {
  /** Id of the last event seen. Default: replay all stored events. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How long `close` waits for received stop commands to be recorded, in ms. */
const RECORDING_MS = 1_000;

/**
 * The client that a service embeds to enqueue, stop, list, await and follow tasks. Uses one connection for commands, a second one
 * for waits and events, and one more each for ENQUEUE_WAIT_REPLICAS and STOP_WAIT_REPLICAS. While Redis is unavailable,
 * every call fails within about a second with `REDIS_UNAVAILABLE`.
 */
export class Producer implements ChildEnqueuer {
  readonly billing: Billing;
  readonly schedules: Schedules;
  readonly usage: Usage;
  readonly #store: Store;
  readonly #hub: StreamHub;
  readonly #limits: TaskLimits;
  readonly #enqueuer: Enqueuer;
  readonly #watch: Watch;
  readonly #list: TaskList;
  readonly #waiter: Waiter;
  readonly #stop: TaskStop;
  readonly #retry: TaskRetry;
  readonly #calls: CallGate;
  readonly #replicas: Readonly<Record<'enqueues' | 'stops', Replicas>>;
  readonly #commands: CommandListener | null;
  #closing: Promise<void> | null = null;

  constructor(config: ProducerConfig);
  /** @internal Tests pass a hook. */
  constructor(config: ProducerConfig, onStep: StepHook | undefined);
  constructor({ loggers: given, listenForStops = false, ...input }: ProducerConfig, onStep?: StepHook) {
    const settings = withUrl(resolveSettings(input));
    const loggers = given ?? createLoggerFactory({ settings });
    const store = openStore({ settings, policy: 'fail-fast', loggers, name: 'taskfleet:producer' }, onStep);
    const { redis, keys, reader } = store;
    // No resend: the hub resumes its reads itself.
    const follow = (key: string) =>
      connectToServer(redis, key, { settings, policy: 'wait', logger: loggers('redis'), name: 'taskfleet:producer:follow', resend: false });
    const calls = new CallGate(redis, store.clock, settings);
    const replicas = (count: number): Replicas => new Replicas({ redis, keys, count, timeoutMs: settings.waitReplicasTimeoutMs });
    // Separate connections: a stop that waits for missing replicas must not block an enqueue that needs fewer.
    this.#replicas = { enqueues: replicas(settings.enqueueWaitReplicas), stops: replicas(settings.stopWaitReplicas) };
    const stopReplicas = new StopReplicas(this.#replicas.stops);
    this.#limits = { maxInputBytes: settings.maxInputBytes, clock: store.clock };
    this.#store = store;
    this.#calls = calls;
    this.#hub = new StreamHub(redis, follow, loggers('producer'));
    this.#enqueuer = new Enqueuer({ store, settings, replicas: this.#replicas, logger: loggers('producer') });
    this.#waiter = new Waiter(new JobEvents(redis, this.#hub, keys), () => calls.ready());
    this.#watch = new Watch({ redis, keys, reader, clock: store.clock, hub: this.#hub, waiter: this.#waiter });
    this.#list = new TaskList(store);
    this.#stop = new TaskStop(store, new Settlement(store, this.#waiter, stopReplicas), stopReplicas);
    this.#commands = listenForStops
      ? new CommandListener({ settings, store, logger: loggers('stop'), name: 'taskfleet:producer:stop', relists: () => true })
      : null;
    void this.#commands?.start();
    this.#retry = new TaskRetry(store, loggers('producer'));
    this.schedules = new Schedules({
      store,
      call: (work) => calls.once(work),
      enqueuer: this.#enqueuer,
      maxInputBytes: settings.maxInputBytes,
    });
    this.billing = new Billing(store, (work) => calls.once(work));
    this.usage = new Usage(store.pools, (work) => calls.once(work));
  }

  /** @internal The store that this producer is built on, for a dashboard over the same connection. */
  get store(): Store {
    return this.#store;
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
    const [checked, asked] = [definitionOf(definition), optionsOf(options)];
    return this.#adding(
      checked.queue,
      asked.id,
      () => this.#enqueuer.enqueue(prepareTask(checked, input, asked, this.#limits)) as Promise<EnqueuedTask<Output>>,
    );
  }

  /**
   * Adds a child task. Workers call it for `context.enqueue`.
   * @throws as `enqueue`; StopRequested if the parent was stopped
   */
  async enqueueChild(parent: ParentTask, definition: AnyDefinition, input: unknown, options?: ChildOptions): Promise<ChildTask> {
    const [checked, asked] = [definitionOf(definition), optionsOf(options)];
    if (!isObject(parent)) throw badArgument('INVALID_OPTION', 'parent', 'a task', parent);
    return this.#adding(checked.queue, asked.id, () => this.#enqueuer.enqueue(prepareChild(parent, checked, input, asked, this.#limits)));
  }

  async #adding<Value>(queue: string, id: string | undefined, work: () => Promise<Value>): Promise<Value> {
    try {
      return await this.#calls.enqueuing(queue, work);
    } catch (error) {
      // An error without `details.exists` was thrown before the first write.
      throw enqueueFailure(this.#store.redis, error, id ?? null, id === undefined ? false : 'unknown');
    }
  }

  /**
   * Adds many tasks of one definition. Validates all of them first: if one is invalid, none is added.
   * @throws as `enqueue`; `details.added` lists the ids of the tasks that exist, `details.unknown` those that may exist
   */
  async enqueueMany<Input, Output>(
    definition: TaskDefinition<Input, Output, unknown>,
    tasks: Iterable<{ readonly input: Input } & EnqueueOptions>,
  ): Promise<EnqueuedTask<Output>[]> {
    const checked = definitionOf(definition);
    const all = tasksOf(tasks);
    const prepare = (): PreparedTask[] => all.map(({ input, options }) => prepareTask(checked, input, options, this.#limits));
    const added = await enqueueMany({ store: this.#store, calls: this.#calls, enqueuer: this.#enqueuer, prepare });
    return added as EnqueuedTask<Output>[];
  }

  /** Returns a live or retained task; null if there is none. */
  get<Output = unknown>(task: string | EnqueuedTask<Output>): Promise<TaskView<Output> | null> {
    return this.#calls.repeatable(async () => {
      const id = idOf(task);
      return ((await this.#store.reader.read([id], 'whole')).get(id) as TaskView<Output> | undefined) ?? null;
    });
  }

  /** Returns a page of tasks, by default live tasks, newest first. @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
  list(options?: ListOptions): Promise<TaskPage> {
    return this.#calls.repeatable(async () => this.#list.page(listOptionsOf(options)));
  }

  /** Returns whether an item has live tasks. @throws FleetError `INVALID_ITEM` */
  hasActiveTasks(item: string): Promise<boolean> {
    return this.#calls.repeatable(async () => this.#store.registry.hasActive(checkItem(item)));
  }

  /**
   * Stops one or several tasks in any state. The stop is durable once this resolves. Tasks that were not running are cancelled by
   * then; for running tasks, pass `waitMs`, or the receipt says `requested`.
   * @throws FleetError `NOT_REPLICATED`: the stop is recorded and may be repeated; `details.receipts` has the receipts
   */
  stop(id: string | EnqueuedTask, options?: StopTasksOptions): Promise<StopReceipt>;
  stop(ids: readonly (string | EnqueuedTask)[], options?: StopTasksOptions): Promise<StopReceipt[]>;
  stop(task: string | EnqueuedTask | readonly (string | EnqueuedTask)[], options?: StopTasksOptions): Promise<StopReceipt | StopReceipt[]> {
    return this.#calls.repeatable(async () => {
      const receipts = await this.#stop.stop(idsOf(task), optionsOf(options));
      return Array.isArray(task) ? receipts : (receipts[0] as StopReceipt);
    });
  }

  /** Stops every live task of an item; with `dryRun`, only returns what would be stopped. @throws as `stop`; FleetError `INVALID_ITEM` */
  stopItem(item: string, options?: StopItemOptions): Promise<StopReceipt[]> {
    return this.#calls.repeatable(async () => this.#stop.stopItem(item, optionsOf(options)));
  }

  /**
   * Retries one or several failed or cancelled tasks: each gets its full number of attempts again, and its stop is cleared. If one
   * cannot be retried, none is. Returns the updated tasks.
   * @throws FleetError `TASK_NOT_FOUND`, `TASK_NOT_RETRYABLE`
   */
  retry(id: string | EnqueuedTask): Promise<TaskView>;
  retry(ids: readonly (string | EnqueuedTask)[]): Promise<TaskView[]>;
  retry(task: string | EnqueuedTask | readonly (string | EnqueuedTask)[]): Promise<TaskView | TaskView[]> {
    return this.#calls.once(async () => {
      const tasks = await this.#retry.retry(idsOf(task));
      return Array.isArray(task) ? tasks : (tasks[0] as TaskView);
    });
  }

  /**
   * Waits until a task completes, and returns its result.
   * @throws TaskCancelled with the receipt, if it was stopped or removed before it ended; FleetError `TASK_FAILED`,
   *   `TASK_NOT_FOUND`, `WAIT_TIMEOUT`; the signal's reason
   */
  result<Output = unknown>(task: string | EnqueuedTask<Output>, options?: WaitOptions): Promise<Output> {
    return this.#calls.repeatable(async () => {
      const id = idOf(task);
      const end = await this.#watch.untilFinished(id, signalOptionsOf(options));
      if (end.state === 'completed') return end.result as Output;
      throw new FleetError('TASK_FAILED', `Task ${id} failed: ${end.error ?? 'no reason recorded'}`, {
        details: { id, attempt: end.attempt },
      });
    });
  }

  /**
   * Waits until a task has completed or failed, and returns it.
   * @throws TaskCancelled with the receipt, if it was stopped or removed before it ended; FleetError `TASK_NOT_FOUND`,
   *   `WAIT_TIMEOUT`; the signal's reason
   */
  waitUntilFinished<Output = unknown>(task: string | EnqueuedTask<Output>, options?: WaitOptions): Promise<TaskView<Output>> {
    return this.#calls.repeatable(async () => this.#watch.untilFinished(idOf(task), signalOptionsOf(options)) as Promise<TaskView<Output>>);
  }

  /** Follows a task until it ends: see {@link Watch.events}. @throws FleetError `TASK_NOT_FOUND`; the signal's reason */
  async *events(task: string | EnqueuedTask, options?: EventOptions): AsyncGenerator<TaskEvent, void, undefined> {
    const id = idOf(task);
    const { after, signal } = signalOptionsOf(options);
    try {
      await this.#calls.ready();
      yield* this.#watch.events(id, { after: after ?? null, ...(signal && { signal }) });
    } catch (error) {
      throw this.#calls.explain(error);
    }
  }

  /** Resolves when Redis replies. @throws FleetError `REDIS_UNAVAILABLE` */
  async ping(): Promise<void> {
    await this.#calls.repeatable(() => this.#store.redis.ping());
  }

  /** Sends pending enqueues, rejects waits with `CLOSED`, then closes the connections. Tasks keep running. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#calls.close();
    await this.#commands?.stop();
    this.#waiter.close();
    await this.#calls.idle();
    // Received stop commands may still be being recorded.
    if (this.#commands) await atMost(RECORDING_MS, this.#store.stopper.idle());
    this.#replicas.enqueues.close();
    this.#replicas.stops.close();
    await this.#hub.close();
    await this.#store.close();
  }
}

/** @throws FleetError `INVALID_SETTINGS` */
export function createProducer(config: ProducerConfig): Producer {
  return new Producer(configOf(config, 'createProducer'));
}

function withUrl(settings: Settings): ConnectedSettings {
  const { redisUrl } = settings;
  if (redisUrl) return { ...settings, redisUrl };
  throw new FleetError('INVALID_SETTINGS', 'createProducer: expected redisUrl, for example redis://127.0.0.1:6379.');
}
