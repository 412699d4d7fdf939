import type { TimeShift } from '../shared/clock/time-shift.js';
import { messageOf } from '../shared/errors.js';
import { limitsIn } from '../shared/limiter/marks.js';
import { NO_LOSSES } from '../shared/log/log-sink.js';
import type { Logger, LoggerFactory } from '../shared/log/logger.js';
import { packageVersion } from '../shared/package/version.js';
import { Service } from '../shared/process/service.js';
import { ready } from '../shared/redis/connect.js';
import { countConnections } from '../shared/redis/connection.js';
import { ShuttingDown } from '../shared/stop/cause.js';
import { reportSettled } from '../shared/stop/settled-stop.js';
import { type ConnectedSettings, type StepHook, type Store, openStore } from '../shared/store.js';
import type { ChildEnqueuer } from '../shared/task/handler.js';
import { within } from '../shared/time.js';
import type { Telemetry } from '../shared/tracing/telemetry.js';
import type { WorkerStatus } from '../shared/workers/status.js';
import { MAINTENANCE_QUEUE } from './builtin/definitions.js';
import { withMaintenance } from './builtin/maintenance.js';
import { Drain } from './drain.js';
import { JobCounters } from './fetch/job-counters.js';
import { QueueWorker } from './fetch/queue-worker.js';
import { Fetchers } from './fetchers.js';
import { Heartbeat } from './heartbeat/heartbeat.js';
import { VitalSigns, type WorkerHost } from './heartbeat/vitals.js';
import type { Extensions } from './hooks/extensions.js';
import { HookCaller } from './hooks/hook-caller.js';
import { composeMiddleware } from './hooks/middleware.js';
import { observeWorker } from './hooks/worker-gauges.js';
import { LineKeeper } from './line-keeper.js';
import { handlersOfQueues } from './queue-choice.js';
import { RegistryWriter } from './registry-writer.js';
import { SHUTDOWN_GRACE_MS } from './run/escalation.js';
import { Releases } from './run/releases.js';
import { ActiveRuns } from './run/run.js';
import { limitsOfHandler } from './run/start/steps.js';
import { schemasOf } from './run/start/unknown-tasks.js';
import { TaskRunner } from './run/task-runner.js';
import { Quarantine } from './run/threads/quarantine.js';
import { Threads } from './run/threads/threads.js';
import { SchedulePlanner, scheduleTable } from './schedule-planner.js';
import { StopLatency, StopListener } from './stop-listener.js';
import type { LoadedHandler } from './task-modules.js';

export interface LauncherOptions extends Extensions {
  readonly workerId: string;
  readonly pid: number;
  /** For heartbeats. Default: unknown. */
  readonly host?: WorkerHost | undefined;
  readonly settings: ConnectedSettings;
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
  readonly loggers: LoggerFactory;
  readonly producer: ChildEnqueuer | null;
  /** Moves the fleet's time, in tests. Default: none. */
  readonly shift?: TimeShift | undefined;
  /** Null for none. */
  readonly telemetry: Telemetry | null;
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
 * One worker: creates and owns its parts. docs/explanation/architecture.md shows who creates whom.
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
  readonly #releases: Releases;
  readonly #lineKeeper: LineKeeper;
  readonly #threads: Threads;
  readonly #quarantine: Quarantine;
  readonly #taskCounters: JobCounters;
  readonly #listener: StopListener;
  readonly #hooks: HookCaller | null;
  readonly #runner: TaskRunner;
  readonly #heartbeat: Heartbeat;
  readonly #planner: SchedulePlanner;
  readonly #fetchers: Fetchers;
  readonly #drain: Drain;
  readonly #vitals: VitalSigns;
  readonly #endGauges: (() => void) | null;

  constructor(
    private readonly options: LauncherOptions,
    onStep?: StepHook,
  ) {
    super();
    const { settings, loggers, workerId, producer, host, telemetry } = options;
    const logger = loggers('worker');
    const store = openStore(
      {
        settings,
        policy: 'wait',
        loggers,
        name: 'taskfleet:worker',
        lazy: true,
        shift: options.shift,
        onSettled: (job, at) => {
          this.#hooks?.stopSettled(job, at);
          if (telemetry) reportSettled(telemetry, job, at);
        },
      },
      onStep,
    );
    this.#logger = logger;
    this.#store = store;
    const all = withMaintenance(options.handlers, { store, settings, loggers });
    const handlers = handlersOfQueues(all, settings.workerQueues, logger);
    this.#planner = new SchedulePlanner({ store, table: scheduleTable(settings), logger: loggers('schedule') });
    this.#writer = new RegistryWriter(store, logger);
    this.#releases = new Releases(store.limiter, logger);
    const limits = [...handlers.values()].flatMap((handler) => [...limitsIn(handler.definition), ...limitsIn(limitsOfHandler(handler))]);
    this.#lineKeeper = new LineKeeper({ store, limits, graceMs: settings.enqueueGraceMs, logger });
    this.#threads = new Threads(settings, logger);
    this.#quarantine = new Quarantine(settings, logger);
    this.#taskCounters = new JobCounters(store.taskCounters, handlers, store.clock);
    this.#listener = new StopListener({
      workerId,
      settings,
      store,
      runs: this.#runs,
      logger: loggers('stop'),
      onSubscribed: () => void this.#heartbeat.beat(),
      onWorkerChange: () => void this.#heartbeat.beat(),
    });
    this.#hooks = HookCaller.of({ hooks: options.hooks, workerId, clock: store.clock, logger });
    const { recentlyStopped } = this.#listener;
    const schemas = schemasOf(handlers.values());
    this.#runner = new TaskRunner({
      ...{ workerId, schemas, handlers, settings, store, loggers },
      runs: this.#runs,
      writer: this.#writer,
      releases: this.#releases,
      threads: this.#threads,
      quarantine: this.#quarantine,
      taskCounters: this.#taskCounters,
      ...{ recentlyStopped, producer, telemetry },
      hooks: this.#hooks,
      middleware: composeMiddleware(options.use),
    });
    this.#fetchers = new Fetchers({
      ...{ store, settings, workerId, logger },
      handlers: handlers.values(),
      make: (queue, slots) => this.#makeQueueWorker(queue, slots),
    });
    this.#drain = new Drain({ store, workerId, onChange: (drained) => this.#onDrain(drained), logger });
    this.#endGauges = telemetry && observeWorker(telemetry, () => this.status());
    this.#vitals = new VitalSigns(host ? () => host.memoryUsage.rss() : null, () => this.#threads.count + this.#quarantine.threads.count);
    this.#heartbeat = new Heartbeat({
      ...{ workerId, store, intervalMs: settings.heartbeatMs, schemas, logger, version: packageVersion(), node: host?.version ?? null },
      definitions: [...handlers.values()].map(({ definition }) => definition),
      beat: () => ({ status: this.status(), vitals: this.#vitals.take(), lastLine: loggers.lastError?.() ?? null }),
      onDrain: (record) => this.#drain.apply(record),
    });
  }

  /** Reports on users' tasks; the maintenance queue is left out. */
  status(): WorkerStatus {
    const fetchers = this.#fetchers;
    return {
      pid: this.options.pid,
      queues: fetchers.queues,
      maintenance: fetchers.takesMaintenance,
      slots: fetchers.slots,
      running: this.#runs.all().flatMap(({ id, queue }) => (queue === MAINTENANCE_QUEUE ? [] : [id])),
      zombies: this.#runs.zombies,
      draining: this.stopping,
      fetching: !this.stopping && !fetchers.suspended,
      subscribed: this.#listener.subscribed,
      replaced: fetchers.replaced,
      broken: fetchers.broken,
      // One for stop messages, and one for each queue that waits for jobs.
      connections: countConnections(this.#store.redis) + this.#store.pools.connections + 1 + fetchers.connections,
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
    await this.#fetchers.waitUntilReady();
    await this.#heartbeat.beat();
  }

  /** Keeps the record of this worker when it stops, as that of a dead one. */
  keepRecord(): void {
    this.#heartbeat.keepRecord();
  }

  protected override async onStart(): Promise<void> {
    this.#store.redis.connect().catch(() => undefined); // keeps retrying, and reports by its events
    await this.#listener.start();
    await this.#fetchers.start();
    this.#vitals.start();
    await this.#heartbeat.start();
    await this.#planner.start();
    await this.#lineKeeper.start();
  }

  #makeQueueWorker(queue: string, slots: number): QueueWorker {
    const { settings, workerId, telemetry, loggers } = this.options;
    return new QueueWorker({
      ...{ queue, slots, settings, workerId, telemetry, logger: this.#logger, taskLogger: loggers('task'), store: this.#store },
      ...{ runner: this.#runner, runs: this.#runs, writer: this.#writer, releases: this.#releases, hooks: this.#hooks },
      stopLatency: this.#stopLatency,
      taskCounters: this.#taskCounters,
    });
  }

  protected override async onStop(): Promise<void> {
    const { shutdownTimeoutMs } = this.options.settings;
    this.#runner.drain();
    this.#logger.info({ running: this.#runs.size, upToMs: shutdownTimeoutMs }, 'Shutting down: no longer fetching tasks');
    await this.#fetchers.pause();
    void this.#heartbeat.beat();
    if (!(await this.#runs.idle(shutdownTimeoutMs))) await this.#requeue();
    this.#endGauges?.();
    await this.#close();
  }

  #onDrain(drained: boolean): void {
    if (this.stopping) return;
    if (drained) this.#fetchers.suspend();
    else this.#fetchers.resume();
    void this.#heartbeat.beat();
    // Somebody may wait for the end of its tasks.
    if (drained) void this.#runs.whenIdle().then(() => this.#heartbeat.beat());
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
    const closed = await this.#closeBy(closeBy, 'queue workers', this.#fetchers.close());
    const { unsettled } = this.#fetchers;
    if (!closed) await this.#fetchers.letGo();
    if (this.#hooks) await this.#closeBy(closeBy, 'hooks', this.#hooks.idle());
    // Parts that do not need Redis first: a close that hangs uses up the time of those after it.
    await this.#listener.stop();
    await this.#fetchers.stop();
    this.#vitals.stop();
    await this.#closeBy(closeBy, 'threads', Promise.all([this.#threads.close(), this.#quarantine.threads.close()]));
    await this.#closeBy(closeBy, 'schedules', this.#planner.stop());
    await this.#closeBy(closeBy, 'limits', Promise.all([this.#releases.idle(), this.#lineKeeper.stop()]));
    await this.#closeBy(closeBy, 'registry', this.#writer.flush());
    await this.#closeBy(closeBy, 'heartbeat', this.#heartbeat.stop());
    await this.#closeBy(closeBy, 'stops', this.#store.stopper.idle());
    await this.#closeBy(closeBy, 'connection', this.#store.close());
    if (unsettled.length > 0)
      this.#logger.error(
        { unsettled: unsettled.length, tasks: unsettled.slice(0, LOGGED_IDS) },
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
