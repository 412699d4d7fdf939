import type { FleetClock } from '../shared/clock/fleet-clock.js';
import { FleetError, isFleetError } from '../shared/errors.js';
import { atMost } from '../shared/time.js';
import { ready } from '../shared/redis/connect.js';
import type { RedisConnection } from '../shared/redis/connection.js';
import { asUnavailable, isConnectionError, unavailable } from '../shared/redis/connection-errors.js';
import { repeated, repetitionMs } from './repeat.js';
import type { ConnectedSettings } from '../shared/redis/topology.js';
import { Backlog } from './backlog.js';

/** Minimum wait for a lost connection to come back, in ms. */
const RECONNECT_WAIT_MS = 1_000;
/** How long `idle` waits for pending calls, in ms. */
const IDLE_MS = 1_000;

/**
 * Admits the calls of one producer: each waits briefly for a missing connection, fails with `REDIS_UNAVAILABLE` if it does not
 * come back, and is counted until it settles.
 */
export class CallGate {
  readonly #redis: RedisConnection;
  readonly #clock: FleetClock;
  readonly #settings: ConnectedSettings;
  #connecting: Promise<void> | null = null;
  #wasReady = false;
  /** Number of pending calls. */
  #open = 0;
  #onIdle: (() => void) | null = null;
  readonly #backlog = new Backlog();
  #closing = false;

  constructor(redis: RedisConnection, clock: FleetClock, settings: ConnectedSettings) {
    this.#redis = redis;
    this.#clock = clock;
    this.#settings = settings;
  }

  /** Runs a call that must not be repeated. @throws the error of `work`; FleetError `REDIS_UNAVAILABLE`, `CLOSED` */
  async once<Value>(work: () => Promise<Value>): Promise<Value> {
    this.#open += 1;
    try {
      if (this.#redis.status !== 'ready' || this.#closing) await this.ready();
      this.#wasReady = true;
      // Stored times are Redis' times, so the clock must be known before the first write.
      if (!this.#clock.known) await this.#clock.measure();
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
    return this.enqueuingOne(queue, () => this.once(work));
  }

  /**
   * Runs one enqueue within a call. Rejects at once if too many are pending on an unresponsive Redis.
   * @throws FleetError `REDIS_UNAVAILABLE`
   */
  async enqueuingOne<Value>(queue: string, work: () => Promise<Value>): Promise<Value> {
    const backlog = this.#backlog;
    if (backlog.isFull(queue))
      throw unavailable(this.#redis, new Error(`no reply for a second, and ${backlog.waiting} enqueues are pending`));
    return backlog.hold(queue, work);
  }

  /** Runs an idempotent call, and repeats it after a failover. */
  repeatable<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.once(() => repeated(work, this.#settings));
  }

  explain(error: unknown): unknown {
    if (this.#closing && (isConnectionError(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) {
      return new FleetError('CLOSED', 'This producer was closed.', { cause: error, details: isFleetError(error) ? error.details : {} });
    }
    return asUnavailable(this.#redis, error);
  }

  /** Resolves when the connection is ready. @throws FleetError `REDIS_UNAVAILABLE`, `CLOSED` */
  async ready(): Promise<void> {
    if (this.#closing) throw new FleetError('CLOSED', 'This producer is closed.');
    const { connectTimeoutMs } = this.#settings;
    const patience = this.#wasReady
      ? Math.max(Math.min(RECONNECT_WAIT_MS, connectTimeoutMs), repetitionMs(this.#settings))
      : connectTimeoutMs;
    // All calls share one wait, so that a thousand calls do not add a thousand listeners.
    this.#connecting ??= ready(this.#redis, patience).finally(() => {
      this.#connecting = null;
    });
    await this.#connecting;
  }

  /** Refuses all further calls. */
  close(): void {
    this.#closing = true;
  }

  /** Resolves when all pending calls have settled, but at once without a connection, and after a second at the latest. */
  async idle(): Promise<void> {
    if (this.#redis.status === 'ready' && this.#open > 0) await atMost(IDLE_MS, new Promise<void>((resolve) => (this.#onIdle = resolve)));
  }
}
