import { randomUUID } from 'node:crypto';
import { Components } from '../../producer/components.js';
import { Producer } from '../../producer/producer.js';
import { badArgument } from '../../shared/arguments.js';
import { TimeShift } from '../../shared/clock/time-shift.js';
import { FleetError } from '../../shared/errors.js';
import { type Loggers, loggersOf } from '../../shared/log/given-loggers.js';
import { type SettingsInput, resolveSettings } from '../../shared/settings/settings.js';
import type { TaskHandler } from '../../shared/task/handler.js';
import { parseDuration } from '../../shared/time.js';
import type { Telemetry } from '../../shared/tracing/telemetry.js';
import type { WorkerHooks } from '../../worker/hooks/hooks.js';
import type { Middleware } from '../../worker/hooks/middleware.js';
import { type FleetWorker, openWorker } from '../../worker/worker.js';
import { type IdleOptions, Quiet } from './quiet.js';
import { type RedisLease, leaseRedis } from './redis-lease.js';
import { removeKeys } from './remove-keys.js';

export interface TestFleetOptions {
  /** The handlers that the worker runs in this thread. Default: the built-in ones only. */
  readonly handlers?: readonly TaskHandler[] | undefined;
  /** Modules of isolated handlers, as in TASK_MODULES. Default: none. */
  readonly taskModules?: readonly string[] | undefined;
  /** Hooks of the worker. Default: none. */
  readonly hooks?: WorkerHooks | undefined;
  /** Middleware of the worker. Default: none. */
  readonly use?: readonly Middleware[] | undefined;
  /** Where the fleet logs. Default: nowhere. */
  readonly loggers?: Loggers | undefined;
  /** Traces and measures producer and worker. Default: none. */
  readonly telemetry?: Telemetry | undefined;
  /** More settings of producer and worker. Default: those of a fleet, with a grace of 1,000 ms and no wait at shutdown. */
  readonly settings?: Omit<SettingsInput, 'redisUrl' | 'keyPrefix' | 'taskModules' | 'cluster'> | undefined;
  /** A Redis to use, one server, whose keys under the fleet's prefix are removed at the end. Default: one that this process starts. */
  readonly redisUrl?: string | undefined;
  /** Whether a worker runs. Default true; false for tests of queued tasks. */
  readonly worker?: boolean | undefined;
}

const DEFAULTS = { logLevel: 'silent', stopGraceMs: 1_000, shutdownTimeoutMs: 0 } as const;
/** Due times that one `runDelayed` passes: a handler may ask for retries without end. */
const MOST_STEPS = 1_000;

interface Parts {
  readonly producer: Producer;
  readonly worker: FleetWorker | null;
  readonly address: TestFleet['address'];
  readonly shift: TimeShift;
  /** Null for a Redis of the caller. */
  readonly lease: RedisLease | null;
}

/** A producer and a worker in this process, on a Redis of their own, with a time that the test moves. */
export class TestFleet {
  /** The producer of the test and of `context.enqueue`. */
  readonly producer: Producer;
  /** Null with `worker: false`. */
  readonly worker: FleetWorker | null;
  /** For more producers or a dashboard of the test; their time does not move. */
  readonly address: { readonly redisUrl: string; readonly keyPrefix: string };
  readonly #shift: TimeShift;
  readonly #lease: RedisLease | null;
  readonly #quiet: Quiet;
  #stopping: Promise<void> | null = null;

  /** @internal */
  constructor({ producer, worker, address, shift, lease }: Parts) {
    this.producer = producer;
    this.worker = worker;
    this.address = address;
    this.#shift = shift;
    this.#lease = lease;
    this.#quiet = new Quiet(producer.store, address.redisUrl);
  }

  /** The fleet's time: that of Redis, and how far the test has moved it. */
  now(): Date {
    return new Date(this.producer.store.clock.now());
  }

  /**
   * Waits until no task runs and none may start: what is left has ended, is due later, or is in a paused queue. Hooks of the worker have been
   * called by then.
   * @throws FleetError `WAIT_TIMEOUT`, naming the tasks that have not ended
   */
  async idle(options?: IdleOptions): Promise<void> {
    await this.#quiet.wait(options);
  }

  /**
   * Moves the fleet's time ahead, from one due time to the next: delayed tasks, retries and schedules start in their order, each after the
   * fleet was idle. Deadlines, rates and retention keep to this time too; timeouts of handlers, locks, and the time of the handlers do not.
   * @param time ms, or a duration such as `90s`, `15m`, `1h` or `2d`
   * @throws FleetError `INVALID_OPTION`; `WAIT_TIMEOUT` as `idle`
   */
  async advance(time: number | string, options?: IdleOptions): Promise<void> {
    const end = this.now().getTime() + checkTime(time);
    for (;;) {
      const [next] = (await this.#quiet.wait(options)).delayed;
      if (next === undefined || next.due > end) break;
      await this.#moveTo(next.due);
    }
    await this.#moveTo(end);
    await this.idle(options);
  }

  /**
   * Moves the fleet's time until no delayed task and no retry is left. Schedules start what is due on the way; their next tasks stay.
   * @throws FleetError `WAIT_TIMEOUT` as `idle`, and if tasks are delayed again and again
   */
  async runDelayed(options?: IdleOptions): Promise<void> {
    for (let step = 0; step < MOST_STEPS; step += 1) {
      const activity = await this.#quiet.wait(options);
      const [next] = activity.delayed;
      if (next === undefined || activity.delayedByTasks.length === 0) return;
      await this.#moveTo(next.due);
    }
    throw new FleetError('WAIT_TIMEOUT', `Tasks were still delayed after ${MOST_STEPS} due times.`, { details: { steps: MOST_STEPS } });
  }

  /** Stops the worker, which requeues its running tasks, and closes the connections. May be called again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Moves the time, never back, and wakes the workers of all queues. */
  async #moveTo(time: number): Promise<void> {
    const { redis, keys, registry, clock } = this.producer.store;
    await this.#shift.set(this.#shift.ms + Math.max(0, time - clock.now()), redis);
    // What BullMQ adds to wake a waiting worker.
    for (const queue of await registry.queueNames()) await redis.zadd(`${keys.jobs(queue)}marker`, 0, '0');
  }

  async #stop(): Promise<void> {
    try {
      await this.worker?.stop();
      this.#quiet.close();
      await this.producer.close();
      if (this.#lease === null) await removeKeys(this.address.redisUrl, `${this.address.keyPrefix}:`);
    } finally {
      await this.#lease?.release();
    }
  }
}

/**
 * Starts a producer and a worker on a Redis of their own, which the fleets of a process share. It ends with the process, however that ends.
 * Call `stop` after the test.
 * @throws FleetError as `createProducer` and `createWorker`; `REDIS_SERVER_MISSING`, `REDIS_SERVER_FAILED`; `INVALID_OPTION` under fake timers
 */
export async function testFleet(options: TestFleetOptions = {}): Promise<TestFleet> {
  checkTimers();
  const { handlers = [], taskModules = [], hooks, use, loggers, telemetry, settings, redisUrl, worker: hasWorker = true } = options;
  const say = loggersOf(loggers, 'testFleet', resolveSettings(DEFAULTS))('redis');
  const lease = redisUrl === undefined ? await leaseRedis((line) => say.info(line)) : null;
  let started: TestFleet | null = null;
  try {
    const address: TestFleet['address'] = { redisUrl: lease?.url ?? (redisUrl as string), keyPrefix: `test-${randomUUID().slice(0, 8)}` };
    const config = { ...DEFAULTS, ...settings, ...address, telemetry, ...(loggers && { loggers }) };
    const shift = new TimeShift(`${address.keyPrefix}:testing:shift`);
    const producer = new Producer(config, undefined, new Components(config, undefined, shift));
    const own = { handlers, taskModules, producer, ...(hooks && { hooks }), ...(use && { use }) };
    const worker = hasWorker ? await openWorker({ ...config, ...own }, undefined, shift) : null;
    started = new TestFleet({ producer, worker, address, shift, lease });
    await producer.ping();
    await worker?.start();
    await worker?.ready();
    return started;
  } catch (error) {
    // Without Redis, the keys cannot be removed either; the first error says why.
    await (started?.stop().catch(() => undefined) ?? lease?.release());
    throw error;
  }
}

/** Refuses the fake timers of Vitest and Jest, which have a clock: no reply of Redis would arrive. */
function checkTimers(): void {
  if ('clock' in globalThis.setTimeout)
    throw new FleetError('INVALID_OPTION', 'testFleet: the timers are fake, and would stop the clients of Redis: use real timers.');
}

function checkTime(time: unknown): number {
  const ms = typeof time === 'string' ? parseDuration(time) : time;
  if (typeof ms === 'number' && Number.isSafeInteger(ms) && ms >= 0) return ms;
  throw badArgument('INVALID_OPTION', 'time', "ms from 0, or a duration such as '15m'", time);
}
