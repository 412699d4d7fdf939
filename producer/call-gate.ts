import type { FleetClock } from '../shared/clock/fleet-clock.js';
import { FleetError, isFleetError } from '../shared/errors.js';
import { atMost } from '../shared/patience.js';
import { ready } from '../shared/redis/connect.js';
import type { RedisConnection } from '../shared/redis/connection.js';
import { asUnavailable, isConnectionError, unavailable } from '../shared/redis/connection-errors.js';
import { repeated, repetitionMs } from '../shared/redis/repeat.js';
import type { ConnectedSettings } from '../shared/redis/topology.js';
import { Backlog } from './backlog.js';

/** What a call waits at least for a connection that was there before. */
const RECONNECT_WAIT_MS = 1_000;
/** What calls that are under way get to end when the producer is closed. */
const IDLE_MS = 1_000;

/**
 * The calls of one producer: each waits a moment for a connection that is not there, fails as one error if it does not
 * come back, and is counted until it is over.
 */
export class CallGate {
  readonly #redis: RedisConnection;
  readonly #clock: FleetClock;
  readonly #settings: ConnectedSettings;
  #connecting: Promise<void> | null = null;
  #wasReady = false;
  /** Those that are under way, and who waits for their end. */
  #open = 0;
  #onIdle: (() => void) | null = null;
  readonly #backlog = new Backlog();
  #closing = false;

  constructor(redis: RedisConnection, clock: FleetClock, settings: ConnectedSettings) {
    this.#redis = redis;
    this.#clock = clock;
    this.#settings = settings;
  }

  /** @throws what `work` throws; FleetError `REDIS_UNAVAILABLE`, `CLOSED` */
  async once<Value>(work: () => Promise<Value>): Promise<Value> {
    this.#open += 1;
    try {
      if (this.#redis.status !== 'ready' || this.#closing) await this.ready();
      this.#wasReady = true;
      // What is stored has the time of Redis, from the first call on.
      if (!this.#clock.known) await this.#clock.measure();
      return await work();
    } catch (error) {
      throw this.explain(error);
    } finally {
      this.#open -= 1;
      if (this.#open === 0) this.#onIdle?.();
    }
  }

  /** The same for an enqueue: see `enqueuingOne`. */
  enqueuing<Value>(queue: string, work: () => Promise<Value>): Promise<Value> {
    return this.enqueuingOne(queue, () => this.once(work));
  }

  /** One enqueue, of a call of several. Refused at once if too many wait already for a Redis that says nothing. */
  async enqueuingOne<Value>(queue: string, work: () => Promise<Value>): Promise<Value> {
    const backlog = this.#backlog;
    if (backlog.isFull(queue))
      throw unavailable(this.#redis, new Error(`no answer for a second, and ${backlog.waiting} enqueues wait for one`));
    return backlog.hold(queue, work);
  }

  /** The same for what may be done twice: what fails by a failover is done again. */
  repeatable<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.once(() => repeated(work, this.#settings));
  }

  explain(error: unknown): unknown {
    if (this.#closing && (isConnectionError(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) {
      return new FleetError('CLOSED', 'This producer was closed.', { cause: error, details: isFleetError(error) ? error.details : {} });
    }
    return asUnavailable(this.#redis, error);
  }

  /** Resolves when there is a connection. @throws FleetError `REDIS_UNAVAILABLE`, `CLOSED` */
  async ready(): Promise<void> {
    if (this.#closing) throw new FleetError('CLOSED', 'This producer is closed.');
    const { connectTimeoutMs } = this.#settings;
    const patience = this.#wasReady
      ? Math.max(Math.min(RECONNECT_WAIT_MS, connectTimeoutMs), repetitionMs(this.#settings))
      : connectTimeoutMs;
    // One wait for all calls: a thousand of them must not cost a thousand listeners.
    this.#connecting ??= ready(this.#redis, patience).finally(() => {
      this.#connecting = null;
    });
    await this.#connecting;
  }

  /** From now on every call is refused. */
  close(): void {
    this.#closing = true;
  }

  /** Resolves when those that are under way are over; at once if Redis is not there to answer them, and soon if it does not. */
  async idle(): Promise<void> {
    if (this.#redis.status === 'ready' && this.#open > 0) await atMost(IDLE_MS, new Promise<void>((resolve) => (this.#onIdle = resolve)));
  }
}
