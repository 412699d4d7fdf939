import { FleetError, isFleetError } from '../shared/errors.js';
import { checkItem, checkKnownId } from '../shared/keys.js';
import { type LoggerFactory, createLoggerFactory } from '../shared/logger.js';
import { asUnavailable, connect, isConnectionError, ready } from '../shared/redis/connect.js';
import { type Settings, type SettingsInput, resolveSettings } from '../shared/settings.js';
import type { StopReceipt } from '../shared/stop/receipt.js';
import { type Store, openStore } from '../shared/store.js';
import type { AnyDefinition, TaskDefinition } from '../shared/task/definition.js';
import type { StepHook } from '../shared/step-hook.js';
import type { ChildEnqueuer, ChildOptions, ChildTask, ParentTask } from '../shared/task/handler.js';
import type { TaskEvent } from '../shared/task/event-stream.js';
import type { TaskView } from '../shared/task/view.js';
import { Billing } from './billing.js';
import { type EnqueuedTask, Enqueuer } from './enqueue.js';
import { JobEvents } from './job-events.js';
import { type ListOptions, TaskList, type TaskPage } from './list.js';
import { type EnqueueOptions, prepareChild, prepareTask } from './prepare.js';
import { TaskRetry } from './retry.js';
import { Schedules } from './schedules.js';
import { type StopItemOptions, type StopOptions, TaskStop } from './stop.js';
import { Settlement } from './settlement.js';
import { keepStore } from './store-of.js';
import { StreamHub } from './stream-hub.js';
import { Usage } from './usage.js';
import { type WaitOptions, Watch } from './watch.js';

/** Settings by name; `redisUrl` is required. The rest has the defaults of the README's table. */
export interface ProducerConfig extends SettingsInput {
  readonly redisUrl: string;
  /** Default: JSON lines on standard error. */
  readonly loggers?: LoggerFactory;
  /** For tests: holds what is done here between two steps. */
  readonly onStep?: StepHook | undefined;
}

export interface EventOptions {
  /** The id of the last event that was seen. Default: from the start of what is kept. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** After a lost connection, how long a call waits for the reconnect that is under way. */
const RECONNECT_WAIT_MS = 1_000;
const ENQUEUE_AT_ONCE = 1_000;

/**
 * What a service embeds: enqueue, stop, list, wait and follow. One connection for commands, a second one once somebody
 * waits or follows. While Redis is away every call fails within a second or so with `REDIS_UNAVAILABLE`.
 */
export class Producer implements ChildEnqueuer {
  readonly billing: Billing;
  readonly schedules: Schedules;
  readonly usage: Usage;
  readonly #settings: Settings;
  readonly #store: Store;
  readonly #hub: StreamHub;
  readonly #enqueuer: Enqueuer;
  readonly #watch: Watch;
  readonly #list: TaskList;
  readonly #settlement: Settlement;
  readonly #stop: TaskStop;
  readonly #retry: TaskRetry;
  #connecting: Promise<void> | null = null;
  #wasReady = false;
  /** Calls that are under way, and who waits for their end. */
  #calls = 0;
  #onIdle: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  constructor({ loggers: given, onStep, ...input }: ProducerConfig) {
    const settings = { ...resolveSettings(input), redisUrl: checkUrl(input.redisUrl) };
    const loggers = given ?? createLoggerFactory({ settings });
    const store = openStore({ settings, policy: 'fail-fast', loggers, name: 'taskfleet:producer', onStep });
    const { redis, keys, reader, registry } = store;
    // The hub reads again by itself, from where it was.
    const follow = () => connect({ settings, policy: 'wait', logger: loggers('redis'), name: 'taskfleet:producer:follow', resend: false });
    this.#settings = settings;
    this.#store = store;
    keepStore(this, store);
    this.#hub = new StreamHub(redis, follow, loggers('producer'));
    this.#enqueuer = new Enqueuer(store, settings.enqueueGraceMs, onStep);
    const jobEvents = new JobEvents(redis, this.#hub, keys);
    this.#watch = new Watch({ redis, reader, hub: this.#hub, jobEvents, keys, reconnected: () => this.#ready() });
    this.#list = new TaskList(redis, reader, registry, keys);
    this.#settlement = new Settlement(store, jobEvents, () => this.#ready());
    this.#stop = new TaskStop(store, this.#watch, this.#settlement);
    this.#retry = new TaskRetry(store);
    this.schedules = new Schedules({ store, call: (work) => this.#call(work), enqueuer: this.#enqueuer, maxInputBytes: settings.maxInputBytes });
    this.billing = new Billing(store, (work) => this.#call(work));
    this.usage = new Usage(store, (work) => this.#call(work));
  }

  /**
   * Adds a task.
   * @throws FleetError `INVALID_INPUT` (naming the field), `INPUT_TOO_LARGE`, `INVALID_ID`, `INVALID_ITEM`,
   *   `INVALID_OPTION`, `ITEM_BUSY`, `REDIS_UNAVAILABLE`
   */
  enqueue<Input, Output>(definition: TaskDefinition<Input, Output, unknown>, input: Input, options: EnqueueOptions = {}): Promise<EnqueuedTask<Output>> {
    return this.#call(() => this.#enqueuer.enqueue(prepareTask(definition as AnyDefinition, input, options, this.#settings.maxInputBytes)) as Promise<EnqueuedTask<Output>>);
  }

  /** Adds a task that belongs to another one: what a worker calls for `context.enqueue`. @throws as `enqueue`; StopRequested if the parent was stopped */
  enqueueChild(parent: ParentTask, definition: AnyDefinition, input: unknown, options: ChildOptions): Promise<ChildTask> {
    return this.#call(() => this.#enqueuer.enqueue(prepareChild(parent, definition, input, options, this.#settings.maxInputBytes)));
  }

  /** Adds many tasks of one definition. All are checked first: if one is bad, none is added. */
  enqueueMany<Input, Output>(
    definition: TaskDefinition<Input, Output, unknown>,
    tasks: Iterable<{ readonly input: Input } & EnqueueOptions>,
  ): Promise<EnqueuedTask<Output>[]> {
    return this.#call(async () => {
      const prepared = [...tasks].map(({ input, ...options }) => prepareTask(definition as AnyDefinition, input, options, this.#settings.maxInputBytes));
      const added: EnqueuedTask[] = [];
      for (let from = 0; from < prepared.length; from += ENQUEUE_AT_ONCE) {
        added.push(...(await Promise.all(prepared.slice(from, from + ENQUEUE_AT_ONCE).map((task) => this.#enqueuer.enqueue(task)))));
      }
      return added as EnqueuedTask<Output>[];
    });
  }

  /** A task, live or ended and still kept; null if there is none. */
  get<Output = unknown>(task: string | EnqueuedTask<Output>): Promise<TaskView<Output> | null> {
    return this.#call(async () => {
      const id = checkKnownId(idOf(task));
      return ((await this.#store.reader.read([id])).get(id) as TaskView<Output> | undefined) ?? null;
    });
  }

  /** A page of tasks: by default of live ones, newest first. */
  list(options: ListOptions = {}): Promise<TaskPage> {
    return this.#call(() => this.#list.page(options));
  }

  /** Whether an item has tasks that have not ended. */
  hasActiveTasks(item: string): Promise<boolean> {
    return this.#call(() => this.#store.registry.hasActive(checkItem(item)));
  }

  /**
   * Stops a task, or several, wherever they are. The stop is durable once this resolves. What was waiting is cancelled
   * by then; for what is running give `waitMs`, or the receipt says `requested`.
   */
  stop(id: string | EnqueuedTask, options?: StopOptions): Promise<StopReceipt>;
  stop(ids: readonly (string | EnqueuedTask)[], options?: StopOptions): Promise<StopReceipt[]>;
  stop(task: string | EnqueuedTask | readonly (string | EnqueuedTask)[], options: StopOptions = {}): Promise<StopReceipt | StopReceipt[]> {
    return this.#call(async () => {
      const many = Array.isArray(task);
      const ids = (many ? task : [task]).map((one: string | EnqueuedTask) => checkKnownId(idOf(one)));
      const receipts = await this.#stop.stop(ids, options);
      return many ? receipts : (receipts[0] as StopReceipt);
    });
  }

  /** Stops every live task of an item; with `dryRun`, says which they are. */
  stopItem(item: string, options: StopItemOptions = {}): Promise<StopReceipt[]> {
    return this.#call(() => this.#stop.stopItem(item, options));
  }

  /**
   * Brings back a task that failed or was cancelled, or several: each gets a new run with all its attempts, and forgets
   * its stop. If one cannot be retried, none is. Returns the tasks as they are then.
   * @throws FleetError `TASK_NOT_FOUND`, `TASK_NOT_RETRYABLE`
   */
  retry(id: string | EnqueuedTask): Promise<TaskView>;
  retry(ids: readonly (string | EnqueuedTask)[]): Promise<TaskView[]>;
  retry(task: string | EnqueuedTask | readonly (string | EnqueuedTask)[]): Promise<TaskView | TaskView[]> {
    return this.#call(async () => {
      const many = Array.isArray(task);
      const ids = (many ? task : [task]).map((one: string | EnqueuedTask) => checkKnownId(idOf(one)));
      const tasks = await this.#retry.retry(ids);
      return many ? tasks : (tasks[0] as TaskView);
    });
  }

  /**
   * The result of a task, once it has one.
   * @throws TaskCancelled with the receipt, if it was stopped or removed before it ended; FleetError `TASK_FAILED`,
   *   `TASK_NOT_FOUND`, `WAIT_TIMEOUT`; the signal's reason
   */
  result<Output = unknown>(task: string | EnqueuedTask<Output>, options: WaitOptions = {}): Promise<Output> {
    return this.#call(async () => {
      const id = checkKnownId(idOf(task));
      const end = await this.#watch.untilFinished(id, options);
      if (end.state === 'completed') return end.result as Output;
      throw new FleetError('TASK_FAILED', `Task ${id} failed: ${end.error ?? 'no reason was kept'}`, { details: { id, attempt: end.attempt } });
    });
  }

  /**
   * A task, completed or failed, once it is so.
   * @throws TaskCancelled with the receipt, if it was stopped or removed before it ended; FleetError `TASK_NOT_FOUND`,
   *   `WAIT_TIMEOUT`; the signal's reason
   */
  waitUntilFinished<Output = unknown>(task: string | EnqueuedTask<Output>, options: WaitOptions = {}): Promise<TaskView<Output>> {
    return this.#call(() => this.#watch.untilFinished(checkKnownId(idOf(task)), options) as Promise<TaskView<Output>>);
  }

  /** Follows a task until it ends: see {@link Watch.events}. @throws FleetError `TASK_NOT_FOUND`; the signal's reason */
  async *events(task: string | EnqueuedTask, { after, signal }: EventOptions = {}): AsyncGenerator<TaskEvent, void, undefined> {
    const id = checkKnownId(idOf(task));
    try {
      await this.#ready();
      yield* this.#watch.events(id, { after: after ?? null, ...(signal && { signal }) });
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Resolves when Redis answers. @throws FleetError `REDIS_UNAVAILABLE` */
  async ping(): Promise<void> {
    await this.#call(() => this.#store.redis.ping());
  }

  /** Lets what was enqueued go out and ends the waits with `CLOSED`, then closes the connections. Tasks go on. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#watch.close();
    this.#settlement.close();
    if (this.#store.redis.status === 'ready' && this.#calls > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    await this.#hub.close();
    await this.#store.close();
  }

  async #call<Value>(work: () => Promise<Value>): Promise<Value> {
    this.#calls += 1;
    try {
      if (this.#store.redis.status !== 'ready' || this.#closing) await this.#ready();
      this.#wasReady = true;
      return await work();
    } catch (error) {
      throw this.#explain(error);
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0) this.#onIdle?.();
    }
  }

  #explain(error: unknown): unknown {
    if (this.#closing && (isConnectionError(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) return new FleetError('CLOSED', 'This producer was closed.', { cause: error });
    return asUnavailable(this.#store.redis, error);
  }

  async #ready(): Promise<void> {
    if (this.#closing) throw new FleetError('CLOSED', 'This producer is closed.');
    // One wait for all calls: a thousand of them must not cost a thousand listeners.
    const patience = this.#wasReady ? Math.min(RECONNECT_WAIT_MS, this.#settings.connectTimeoutMs) : this.#settings.connectTimeoutMs;
    this.#connecting ??= ready(this.#store.redis, patience).finally(() => {
      this.#connecting = null;
    });
    await this.#connecting;
  }
}

/** @throws FleetError `INVALID_SETTINGS` */
export function createProducer(config: ProducerConfig): Producer {
  return new Producer(config);
}

function idOf(task: string | EnqueuedTask): string {
  return typeof task === 'object' && task !== null ? task.id : task;
}

function checkUrl(url: string | undefined): string {
  if (url) return url;
  throw new FleetError('INVALID_SETTINGS', 'createProducer: expected redisUrl, for example redis://127.0.0.1:6379.');
}
