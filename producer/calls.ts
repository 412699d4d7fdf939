import { setTimeout as delay } from 'node:timers/promises';
import type { FleetClock } from '../shared/clock/fleet-clock.js';
import { FleetError, isFleetError } from '../shared/errors.js';
import { ready, reconnectDelay } from '../shared/redis/connect.js';
import { asUnavailable, isConnectionError, isUnavailability, unavailable } from '../shared/redis/connection-errors.js';
import { type RedisConnection, isCluster } from '../shared/redis/connection.js';
import type { ConnectedSettings } from '../shared/redis/topology.js';
import { atMost } from '../shared/time.js';

/** Runs a call of the producer: it fails fast while Redis is unavailable, and `close` waits for it. */
export type Caller = <Value>(work: () => Promise<Value>) => Promise<Value>;

/** Maximum enqueues that wait for an unresponsive Redis. At a few kilobytes each, they hold less than 50 MB. */
const MOST_WAITING = 2_000;
const TICK_MS = 100;
/** Ticks without a reply after which a queue counts as silent. */
const SILENT_TICKS = 10;

interface Waiting {
  count: number;
  silentTicks: number;
}

/**
 * Limits the pending enqueues of a producer. While replies arrive there is no limit; a queue without a reply for a second
 * accepts no more once {@link MOST_WAITING} are pending. Silence is tracked for each queue, because on a cluster one master may be
 * dead while the others reply.
 */
export class Backlog {
  #waiting = 0;
  /** Counts ticks rather than time, so that a process too busy to read replies does not mistake that for silence. */
  readonly #queues = new Map<string, Waiting>();
  #timer: NodeJS.Timeout | null = null;

  get waiting(): number {
    return this.#waiting;
  }

  /** Returns whether the queue accepts no more enqueues. */
  isFull(queue: string): boolean {
    return this.#waiting >= MOST_WAITING && (this.#queues.get(queue)?.silentTicks ?? 0) >= SILENT_TICKS;
  }

  /** Counts `work`, of `count` enqueues, as pending until it settles. */
  async hold<Value>(queue: string, work: () => Promise<Value>, count = 1): Promise<Value> {
    const waiting = this.#enter(queue, count);
    try {
      const value = await work();
      waiting.silentTicks = 0;
      return value;
    } finally {
      this.#leave(queue, waiting, count);
    }
  }

  #enter(queue: string, count: number): Waiting {
    let waiting = this.#queues.get(queue);
    if (!waiting) this.#queues.set(queue, (waiting = { count: 0, silentTicks: 0 }));
    waiting.count += count;
    this.#waiting += count;
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
    return waiting;
  }

  #leave(queue: string, waiting: Waiting, count: number): void {
    waiting.count -= count;
    this.#waiting -= count;
    if (waiting.count === 0) this.#queues.delete(queue);
  }

  #tick(): void {
    // Not ended with the last enqueue: a timer for each of many lone ones would cost more.
    if (this.#waiting === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    for (const waiting of this.#queues.values()) waiting.silentTicks += 1;
  }
}

/**
 * Retries idempotent work that a failover interrupted, up to REDIS_SENTINEL_MAX_RETRY_COUNT times, with the delays of
 * reconnects.
 */
export async function repeated<Value>(work: () => Promise<Value>, settings: ConnectedSettings): Promise<Value> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt > settings.maxRetries || !(isUnavailability(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) throw error;
      await delay(reconnectDelay(settings, attempt));
    }
  }
}

/** Returns the total delay of all retries, in ms. */
export function repetitionMs(settings: ConnectedSettings): number {
  return Array.from({ length: settings.maxRetries }, (_, index) => reconnectDelay(settings, index + 1)).reduce((sum, ms) => sum + ms, 0);
}

/** Minimum wait for a lost connection to come back, in ms. */
const RECONNECT_WAIT_MS = 1_000;
/** How long `idle` waits for the next answer to pending calls, and for all of them, in ms. */
const IDLE_MS = 1_000;
const MOST_IDLE_MS = 10_000;

/**
 * Admits the calls of one producer: each waits briefly for a missing connection, fails with `REDIS_UNAVAILABLE` if it does not
 * come back, and is counted until it settles.
 */
export class CallGate {
  #connecting: Promise<void> | null = null;
  #wasReady = false;
  /** Number of pending calls. */
  #open = 0;
  #onIdle: (() => void) | null = null;
  readonly #backlog = new Backlog();
  #closing = false;

  constructor(
    private readonly redis: RedisConnection,
    private readonly clock: FleetClock,
    private readonly settings: ConnectedSettings,
  ) {}

  /** Runs a call that must not be repeated. @throws the error of `work`; FleetError `REDIS_UNAVAILABLE`, `CLOSED` */
  async once<Value>(work: () => Promise<Value>): Promise<Value> {
    this.#open += 1;
    try {
      if (this.redis.status !== 'ready' || this.#closing) await this.ready();
      this.#wasReady = true;
      // Stored times are Redis' times, so the clock must be known before the first write.
      if (!this.clock.known) await this.clock.measure();
      return await work();
    } catch (error) {
      throw this.explain(error);
    } finally {
      this.#open -= 1;
      if (this.#open === 0) this.#onIdle?.();
    }
  }

  /** Runs a call that enqueues one task. */
  enqueuing<Value>(queue: string, work: () => Promise<Value>): Promise<Value> {
    return this.enqueuingSome(queue, 1, () => this.once(work));
  }

  /**
   * Runs `count` enqueues within a call. Rejects at once if too many are pending on an unresponsive Redis.
   * @throws FleetError `REDIS_UNAVAILABLE`
   */
  async enqueuingSome<Value>(queue: string, count: number, work: () => Promise<Value>): Promise<Value> {
    const backlog = this.#backlog;
    if (backlog.isFull(queue))
      throw unavailable(this.redis, new Error(`no reply for a second, and ${backlog.waiting} enqueues are pending`));
    return backlog.hold(queue, work, count);
  }

  /** Runs an idempotent call, and repeats it after a failover. */
  repeatable<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.once(() => repeated(work, this.settings));
  }

  explain(error: unknown): unknown {
    if (this.#closing && (isConnectionError(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) {
      return new FleetError('CLOSED', 'This producer was closed.', { cause: error, details: isFleetError(error) ? error.details : {} });
    }
    return asUnavailable(this.redis, error);
  }

  /** Resolves when the connection is ready. @throws FleetError `REDIS_UNAVAILABLE`, `CLOSED` */
  async ready(): Promise<void> {
    if (this.#closing) throw new FleetError('CLOSED', 'This producer is closed.');
    const { connectTimeoutMs } = this.settings;
    const patience = this.#wasReady
      ? Math.max(Math.min(RECONNECT_WAIT_MS, connectTimeoutMs), repetitionMs(this.settings))
      : connectTimeoutMs;
    // All calls share one wait, so that a thousand calls do not add a thousand listeners.
    this.#connecting ??= ready(this.redis, patience).finally(() => {
      this.#connecting = null;
    });
    await this.#connecting;
  }

  /** Refuses all further calls. */
  close(): void {
    this.#closing = true;
  }

  /**
   * Resolves when all pending calls have settled, but at once without a connection, after a second without an answer, and after ten
   * seconds at the latest.
   */
  async idle(): Promise<void> {
    const deadline = performance.now() + MOST_IDLE_MS;
    const idle = new Promise<void>((resolve) => (this.#onIdle = resolve));
    let seen = -1;
    while (this.redis.status === 'ready' && this.#open > 0 && performance.now() < deadline) {
      const read = bytesRead(this.redis);
      if (read === seen) return;
      seen = read;
      await atMost(IDLE_MS, idle);
      // Timers run before reads: answers may have arrived while this process was busy.
      await new Promise(setImmediate);
    }
  }
}

function bytesRead(redis: RedisConnection): number {
  const servers = isCluster(redis) ? redis.nodes('all') : [redis];
  return servers.reduce((sum, { stream }) => sum + ((stream as { readonly bytesRead?: number } | undefined)?.bytesRead ?? 0), 0);
}
