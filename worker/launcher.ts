import { messageOf } from '../shared/errors.js';
import { NO_LOSSES } from '../shared/log-sink.js';
import type { Logger, LoggerFactory } from '../shared/logger.js';
import type { WorkerStatus } from '../shared/records/heartbeats.js';
import { ready } from '../shared/redis/connect.js';
import { countConnections } from '../shared/redis/connection.js';
import { Service } from '../shared/service.js';
import { ShuttingDown } from '../shared/stop/cause.js';
import { type ConnectedSettings, type StepHook, type Store, openStore } from '../shared/store.js';
import type { ChildEnqueuer } from '../shared/task/handler.js';
import { within } from '../shared/time.js';
import { MAINTENANCE_QUEUE } from './builtin/definitions.js';
import { withMaintenance } from './builtin/maintenance.js';
import { JobCounters } from './fetch/job-counters.js';
import { QueueSupervisor } from './fetch/queue-supervisor.js';
import { QueueWorker } from './fetch/queue-worker.js';
import { ShardFinder, slotsByQueue } from './fetch/shards.js';
import { Heartbeat } from './heartbeat.js';
import { RegistryWriter } from './registry-writer.js';
import { SHUTDOWN_GRACE_MS } from './run/escalation.js';
import { ActiveRuns } from './run/run.js';
import { TaskRunner } from './run/task-runner.js';
import { Threads } from './run/threads/threads.js';
import { schemasOf } from './run/unknown-tasks.js';
import { SchedulePlanner, scheduleTable } from './schedule-planner.js';
import { StopLatency, StopListener } from './stop-listener.js';
import type { LoadedHandler } from './task-modules.js';

export interface LauncherOptions {
  readonly workerId: string;
  readonly pid: number;
  readonly settings: ConnectedSettings;
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
  readonly loggers: LoggerFactory;
  readonly producer: ChildEnqueuer | null;
}

/** Time for requeueing tasks after the handlers' own grace, in ms. */
const REQUEUE_MS = 250;
/** Time limit for closing everything, in ms: the process ends within 2 s of SHUTDOWN_TIMEOUT_MS even if Redis is away or hangs. */
const CLOSE_MS = 500;
/** Most task ids in one log line. */
const LOGGED_IDS = 20;
/** Time for each part once the limit is used up, in ms: enough if the part has nothing to wait for. */
const MIN_CLOSE_MS = 20;

/**
 * One worker: creates and owns its parts. docs/architecture.md shows who creates whom.
 *
 * Starting does not wait for Redis: connections are made, and made again, in the background. Stopping has one deadline and three steps:
 * stop fetching, let running tasks finish, requeue the rest.
 */
export class Launcher extends Service {
  readonly #logger: Logger;
  readonly #store: Store;
  readonly #runs = new ActiveRuns();
  readonly #stopLatency = new StopLatency();
  readonly #writer: RegistryWriter;
  readonly #threads: Threads;
  readonly #taskCounters: JobCounters;
  readonly #listener: StopListener;
  readonly #runner: TaskRunner;
  readonly #heartbeat: Heartbeat;
  readonly #planner: SchedulePlanner;
  /** Slots by BullMQ queue. */
  readonly #slots: Map<string, number>;
  readonly #shards: ShardFinder;
  readonly #supervisors: QueueSupervisor[] = [];

  constructor(
    private readonly options: LauncherOptions,
    onStep?: StepHook,
  ) {
    super();
    const { settings, loggers, workerId, producer } = options;
    const logger = loggers('worker');
    const store = openStore({ settings, policy: 'wait', loggers, name: 'taskfleet:worker', lazy: true }, onStep);
    this.#logger = logger;
    this.#store = store;
    const handlers = withMaintenance(options.handlers, { store, settings, loggers });
    this.#planner = new SchedulePlanner({ store, table: scheduleTable(settings), logger: loggers('schedule') });
    this.#writer = new RegistryWriter(store, logger);
    this.#threads = new Threads(settings, logger);
    this.#taskCounters = new JobCounters(store.taskCounters, handlers, store.clock);
    this.#listener = new StopListener({
      settings,
      store,
      runs: this.#runs,
      logger: loggers('stop'),
      onSubscribed: () => void this.#heartbeat.beat(),
    });
    const { recentlyStopped } = this.#listener;
    const schemas = schemasOf(handlers.values());
    this.#runner = new TaskRunner({
      workerId,
      schemas,
      handlers,
      settings,
      store,
      runs: this.#runs,
      writer: this.#writer,
      threads: this.#threads,
      taskCounters: this.#taskCounters,
      loggers,
      recentlyStopped,
      producer,
    });
    this.#heartbeat = new Heartbeat({ workerId, store, intervalMs: settings.heartbeatMs, status: () => this.status(), schemas, logger });
    this.#slots = slotsByQueue(handlers.values(), settings.concurrency, settings.threads);
    this.#shards = new ShardFinder({
      store,
      slots: this.#slots,
      intervalMs: settings.heartbeatMs,
      take: (queue, slots) => this.#fetchFrom(queue, slots),
      logger,
    });
  }

  /** Reports on users' tasks; the maintenance queue is left out. */
  status(): WorkerStatus {
    const slots = [...this.#slots].filter(([queue]) => queue !== MAINTENANCE_QUEUE);
    return {
      pid: this.options.pid,
      queues: slots.map(([queue]) => queue),
      slots: slots.reduce((sum, [, some]) => sum + some, 0),
      running: this.#runs.all().flatMap(({ id, queue }) => (queue === MAINTENANCE_QUEUE ? [] : [id])),
      zombies: this.#runs.zombies,
      draining: this.stopping,
      subscribed: this.#listener.subscribed,
      replaced: this.#supervisors.reduce((sum, { replaced }) => sum + replaced, 0),
      broken: this.#supervisors.flatMap(({ name: queue, broken: problem }) => (problem === null ? [] : [{ queue, problem }])),
      // One for stop messages, and one for each queue that waits for jobs.
      connections: countConnections(this.#store.redis) + this.#store.pools.connections + 1 + this.#supervisors.length,
      stopLatency: this.#stopLatency.summary(),
      log: this.options.loggers.losses?.() ?? NO_LOSSES,
    };
  }

  /**
   * Resolves when the worker is connected to Redis, fetches tasks and is in the list of workers.
   * @throws FleetError `INVALID_SETTINGS`, `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
   */
  async ready(): Promise<void> {
    await ready(this.#store.redis, Infinity);
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.waitUntilReady()));
    await this.#heartbeat.beat();
  }

  protected override async onStart(): Promise<void> {
    this.#store.redis.connect().catch(() => undefined); // keeps retrying, and reports by its events
    await this.#listener.start();
    for (const [queue, slots] of this.#slots) this.#fetchFrom(queue, slots);
    await this.#shards.start();
    await this.#heartbeat.start();
    await this.#planner.start();
  }

  #fetchFrom(queue: string, slots: number): void {
    const { settings, workerId } = this.options;
    const shared = {
      settings,
      workerId,
      store: this.#store,
      runner: this.#runner,
      runs: this.#runs,
      writer: this.#writer,
      stopLatency: this.#stopLatency,
      taskCounters: this.#taskCounters,
      logger: this.#logger,
    };
    const make = (): QueueWorker => new QueueWorker({ ...shared, queue, slots });
    const supervisor = new QueueSupervisor({
      queue,
      slots,
      make,
      store: this.#store,
      stallMs: settings.fetchStallMs,
      logger: this.#logger,
    });
    this.#slots.set(queue, slots);
    this.#supervisors.push(supervisor);
    supervisor.run();
  }

  protected override async onStop(): Promise<void> {
    const { shutdownTimeoutMs } = this.options.settings;
    await this.#shards.stop();
    this.#runner.drain();
    this.#logger.info({ running: this.#runs.size, upToMs: shutdownTimeoutMs }, 'Shutting down: no longer fetching tasks');
    for (const supervisor of this.#supervisors) supervisor.pause();
    void this.#heartbeat.beat();
    if (!(await this.#runs.idle(shutdownTimeoutMs))) await this.#requeue();
    await this.#close();
  }

  /** Aborts the tasks that still run at the deadline and returns them to the queue. */
  async #requeue(): Promise<void> {
    const running = this.#runs.all();
    this.#logger.warn({ running: running.length, tasks: someIds(running) }, 'Shutdown timeout reached; requeueing the running tasks');
    for (const run of running) run.abort(new ShuttingDown());
    if (await this.#runs.idle(SHUTDOWN_GRACE_MS + REQUEUE_MS)) return;
    this.#logger.error(
      { running: this.#runs.size, tasks: someIds(this.#runs.all()) },
      'Could not requeue these tasks; they will run again when their locks expire',
    );
  }

  async #close(): Promise<void> {
    const closeBy = performance.now() + CLOSE_MS;
    const closed = await this.#closeBy(closeBy, 'queue workers', Promise.all(this.#supervisors.map((supervisor) => supervisor.close())));
    const unsettled = this.#supervisors.flatMap(({ held }) => held.map(({ id }) => ({ id: id as string })));
    if (!closed) await Promise.all(this.#supervisors.map((supervisor) => supervisor.letGo()));
    // Parts that do not need Redis first: a close that hangs uses up the time of those after it.
    await this.#listener.stop();
    await this.#closeBy(closeBy, 'threads', this.#threads.close());
    await this.#closeBy(closeBy, 'schedules', this.#planner.stop());
    await this.#closeBy(closeBy, 'registry', this.#writer.flush());
    await this.#closeBy(closeBy, 'heartbeat', this.#heartbeat.stop());
    await this.#closeBy(closeBy, 'stops', this.#store.stopper.idle());
    await this.#closeBy(closeBy, 'connection', this.#store.close());
    if (unsettled.length > 0)
      this.#logger.error(
        { unsettled: unsettled.length, tasks: someIds(unsettled) },
        'Could not record these results; the tasks will run again when their locks expire',
      );
  }

  /** Resolves with whether closing finished in time. */
  async #closeBy(deadline: number, what: string, closing: Promise<unknown>): Promise<boolean> {
    const ms = Math.max(MIN_CLOSE_MS, deadline - performance.now());
    const closed = closing.then(
      () => 'done' as const,
      (error: unknown) => error,
    );
    const outcome = await within(ms, closed, () => 'timeout' as const);
    if (outcome === 'timeout') this.#logger.warn({ what }, 'Close timed out; continuing the shutdown');
    else if (outcome !== 'done') this.#logger.warn({ what, error: messageOf(outcome) }, 'Close failed; continuing the shutdown');
    return outcome === 'done';
  }
}

function someIds(runs: readonly { readonly id: string }[]): string[] {
  return runs.slice(0, LOGGED_IDS).map(({ id }) => id);
}
