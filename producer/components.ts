import type { TimeShift } from '../shared/clock/time-shift.js';
import { loggersOf } from '../shared/log/given-loggers.js';
import { Replicas } from '../shared/redis/replicas.js';
import { connectToServer } from '../shared/redis/server-connection.js';
import { TaskRetry } from '../shared/retry/task-retry.js';
import { CommandListener } from '../shared/stop/command-listener.js';
import { reportSettled } from '../shared/stop/settled-stop.js';
import type { SettleListener } from '../shared/stop/settler.js';
import { type StepHook, type Store, openStore } from '../shared/store.js';
import { atMost } from '../shared/time.js';
import { telemetryOf } from '../shared/tracing/guarded-telemetry.js';
import type { Telemetry } from '../shared/tracing/telemetry.js';
import { Billing } from './billing.js';
import { TaskBulk } from './bulk/task-bulk.js';
import { CallGate } from './calls.js';
import { type ProducerConfig, producerSettings } from './config.js';
import { EnqueueCalls } from './enqueue/enqueue-calls.js';
import { Enqueuer } from './enqueue/enqueuer.js';
import type { TaskLimits } from './enqueue/prepare.js';
import { ItemTokens } from './item-tokens.js';
import { Limits } from './limits/limits.js';
import { TaskList } from './list.js';
import { QueueControl } from './queues/queues.js';
import { Schedules } from './schedule/schedules.js';
import { TaskStop } from './stop.js';
import { Usage } from './usage.js';
import { JobEvents } from './wait/events.js';
import { Settlement, StopReplicas } from './wait/settlement.js';
import { StreamHub } from './wait/stream-reader.js';
import { TaskLogs } from './wait/task-logs.js';
import { WaitCalls } from './wait/wait-calls.js';
import { Waiter } from './wait/waiter.js';
import { Watch } from './wait/watch.js';
import { DefinitionPublisher } from './workers/definition-publisher.js';
import { Workers } from './workers/workers.js';

/** How long `close` waits for received stop commands to be recorded, in ms. */
const RECORDING_MS = 1_000;

/** The components of a producer, and the order in which they close. */
export class Components {
  readonly store: Store;
  /** Null for none. */
  readonly telemetry: Telemetry | null;
  readonly calls: CallGate;
  /** Sizes that inputs must not exceed. */
  readonly limits: TaskLimits;
  readonly limitSettings: Limits;
  readonly enqueuer: Enqueuer;
  readonly list: TaskList;
  readonly watch: Watch;
  readonly logs: TaskLogs;
  readonly stop: TaskStop;
  readonly retry: TaskRetry;
  readonly bulk: TaskBulk;
  /** The calls that add tasks. */
  readonly adding: EnqueueCalls;
  /** The calls that return results and events. */
  readonly waiting: WaitCalls;
  readonly queues: QueueControl;
  readonly schedules: Schedules;
  readonly billing: Billing;
  readonly usage: Usage;
  readonly workers: Workers;
  readonly itemTokens: ItemTokens;
  readonly #hub: StreamHub;
  readonly #waiter: Waiter;
  readonly #replicas: Readonly<Record<'enqueues' | 'stops', Replicas>>;
  readonly #commands: CommandListener | null;

  constructor(
    { loggers: given, listenForStops = false, telemetry: givenTelemetry, ...input }: ProducerConfig,
    onStep?: StepHook,
    shift?: TimeShift,
  ) {
    const settings = producerSettings(input);
    const loggers = loggersOf(given, 'createProducer', settings);
    const telemetry = telemetryOf(givenTelemetry, 'createProducer', loggers('producer'));
    const onSettled: SettleListener | null = telemetry && ((job, at) => reportSettled(telemetry, job, at));
    const options = { settings, policy: 'fail-fast', loggers, name: 'taskfleet:producer', shift } as const;
    const store = openStore({ ...options, ...(onSettled && { onSettled }) }, onStep);
    const { redis, keys, reader } = store;
    // No resend: the hub resumes its reads itself.
    const follow = (key: string) =>
      connectToServer(redis, key, { settings, policy: 'wait', logger: loggers('redis'), name: 'taskfleet:producer:follow', resend: false });
    const calls = new CallGate(redis, store.clock, settings);
    const replicas = (count: number): Replicas => new Replicas({ redis, keys, count, timeoutMs: settings.waitReplicasTimeoutMs });
    // Separate connections: a stop that waits for missing replicas must not block an enqueue that needs fewer.
    this.#replicas = { enqueues: replicas(settings.enqueueWaitReplicas), stops: replicas(settings.stopWaitReplicas) };
    const stopReplicas = new StopReplicas(this.#replicas.stops);
    this.limits = { maxInputBytes: settings.maxInputBytes, clock: store.clock };
    this.store = store;
    this.telemetry = telemetry;
    this.calls = calls;
    this.#hub = new StreamHub(redis, follow, loggers('producer'));
    this.enqueuer = new Enqueuer({ store, settings, replicas: this.#replicas, logger: loggers('producer') });
    this.#waiter = new Waiter(new JobEvents(redis, this.#hub, keys), () => calls.ready());
    this.watch = new Watch({ redis, keys, reader, clock: store.clock, hub: this.#hub, waiter: this.#waiter });
    this.logs = new TaskLogs(store, this.#waiter);
    this.list = new TaskList(store.search);
    this.stop = new TaskStop(store, new Settlement(store, this.#waiter, stopReplicas), stopReplicas, telemetry);
    this.#commands = listenForStops
      ? new CommandListener({ settings, store, logger: loggers('stop'), name: 'taskfleet:producer:stop', relists: () => true })
      : null;
    void this.#commands?.start();
    this.retry = new TaskRetry(store, loggers('producer'));
    const definitions = new DefinitionPublisher(store, loggers('producer'));
    this.adding = new EnqueueCalls({ store, calls, enqueuer: this.enqueuer, limits: this.limits, definitions, telemetry });
    this.waiting = new WaitCalls({ calls, reader, watch: this.watch, definitionOf: (name) => this.adding.definitionOf(name) });
    this.bulk = new TaskBulk({ store, calls, stop: this.stop, retry: this.retry });
    this.schedules = new Schedules({
      store,
      call: (work) => calls.once(work),
      enqueuer: this.enqueuer,
      maxInputBytes: settings.maxInputBytes,
      telemetry,
    });
    this.billing = new Billing(store, (work) => calls.once(work));
    this.limitSettings = new Limits(store, (work) => calls.once(work));
    this.queues = new QueueControl(store, (work) => calls.once(work));
    this.usage = new Usage(store.pools, (work) => calls.once(work));
    this.workers = new Workers(store, (work) => calls.repeatable(work));
    this.itemTokens = new ItemTokens(store, (work) => calls.once(work));
  }

  async close(): Promise<void> {
    this.calls.close();
    await this.#commands?.stop();
    this.#waiter.close();
    await this.calls.idle();
    // Received stop commands may still be being recorded.
    if (this.#commands) await atMost(RECORDING_MS, this.store.stopper.idle());
    this.#replicas.enqueues.close();
    this.#replicas.stops.close();
    await this.#hub.close();
    await this.store.close();
  }
}
