import { hostname } from 'node:os';
import type { LogLosses } from '../shared/log-sink.js';
import type { Logger } from '../shared/logger.js';
import { Service } from '../shared/service.js';
import type { Store } from '../shared/store.js';
import type { BrokenQueue } from '../shared/task/queues.js';
import { isWrongType, wrongType } from '../shared/records/unreadable.js';
import type { Schemas } from './run/unknown-tasks.js';
import type { StopLatencySummary } from './stop-listener.js';

/** The status that a worker reports in its heartbeats. */
export interface WorkerStatus {
  readonly pid: number;
  readonly queues: readonly string[];
  readonly slots: number;
  readonly running: readonly string[];
  readonly zombies: number;
  readonly draining: boolean;
  readonly subscribed: boolean;
  /** Queue workers that stalled while tasks were waiting, and were replaced. */
  readonly replaced: number;
  /** Queues that cannot be fetched from, each with the reason and the repair. */
  readonly broken: readonly BrokenQueue[];
  /** Connections to Redis, without the one or two of a producer that the handlers enqueue with. */
  readonly connections: number;
  /** Of stopped tasks that ran on this worker. */
  readonly stopLatency: StopLatencySummary;
  readonly log: LogLosses;
}

/** Missed beats after which a worker's hash expires. */
const BEATS_KEPT = 3;
/** Workers silent for this long are removed from the list. */
const FORGET_AFTER_MS = 3_600_000;

/** Reports every HEARTBEAT_INTERVAL_MS that this worker is alive, and its status. */
export class Heartbeat extends Service {
  readonly #workerId: string;
  readonly #store: Store;
  readonly #intervalMs: number;
  readonly #status: () => WorkerStatus;
  readonly #schemas: string;
  readonly #logger: Logger;
  /** By performance.now. */
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | null = null;
  #beating: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(options: {
    workerId: string;
    store: Store;
    intervalMs: number;
    status: () => WorkerStatus;
    schemas: Schemas;
    logger: Logger;
  }) {
    super();
    this.#workerId = options.workerId;
    this.#store = options.store;
    this.#intervalMs = options.intervalMs;
    this.#status = options.status;
    this.#schemas = JSON.stringify(options.schemas);
    this.#logger = options.logger;
  }

  protected override onStart(): Promise<void> {
    this.#timer = setInterval(() => void this.beat(), this.#intervalMs);
    this.#store.redis.on('ready', () => void this.beat());
    void this.beat();
    return Promise.resolve();
  }

  /** Removes the worker from the list at once, if Redis is connected. */
  protected override async onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    const { redis, keys } = this.#store;
    if (redis.status !== 'ready') return;
    await redis.pipeline().zrem(keys.workers, this.#workerId).del(keys.worker(this.#workerId)).exec();
  }

  /**
   * Sends a heartbeat, after the one in progress if there is one. While Redis refuses writes the client reconnects again and again; only
   * one heartbeat waits, however many were asked for.
   */
  beat(): Promise<void> {
    if (this.#beating) {
      this.#next ??= this.#beating.then(() => {
        this.#next = null;
        return this.beat();
      });
      return this.#next;
    }
    this.#beating = this.#write().finally(() => {
      this.#beating = null;
    });
    return this.#beating;
  }

  async #write(): Promise<void> {
    const { redis, keys, clock, unreadable } = this.#store;
    // While Redis is away, heartbeats would queue up in the client and all be sent later.
    if (redis.status !== 'ready' || this.stopping) return;
    const now = clock.now();
    const { pid, queues, slots, running, zombies, draining, subscribed, replaced, broken, connections, stopLatency, log } = this.#status();
    const fields = {
      ...{
        host: hostname(),
        pid,
        slots,
        zombies,
        started_at: Math.round(now - performance.now() + this.#startedAt),
        beat_at: now,
        clock_ms: clock.skewMs,
      },
      ...{
        queues: JSON.stringify(queues),
        running: JSON.stringify(running),
        draining: Number(draining),
        subscribed: Number(subscribed),
        replaced,
        connections,
        broken: JSON.stringify(broken),
      },
      ...{
        stops: stopLatency.count,
        stop_p50_ms: stopLatency.p50Ms ?? '',
        stop_p99_ms: stopLatency.p99Ms ?? '',
        stop_max_ms: stopLatency.maxMs ?? '',
      },
      ...{ log_lost: log.lost, log_error: log.error ?? '' },
      schemas: this.#schemas,
    };
    const key = keys.worker(this.#workerId);
    try {
      const pipeline = redis.pipeline();
      pipeline.zadd(keys.workers, now, this.#workerId).zremrangebyscore(keys.workers, 0, now - FORGET_AFTER_MS);
      pipeline.hset(key, fields).pexpire(key, this.#intervalMs * BEATS_KEPT);
      pipeline.sadd(keys.queues, ...queues);
      const replies = await pipeline.exec();
      const [ofWorkers, , ofWorker, , ofQueues] = (replies ?? []).map(([error]) => error);
      if (isWrongType(ofWorkers)) unreadable.report({ key: keys.workers, problem: wrongType('sorted set') });
      if (isWrongType(ofWorker)) unreadable.report({ key, problem: wrongType('hash') });
      if (isWrongType(ofQueues)) unreadable.report({ key: keys.queues, problem: wrongType('set') });
    } catch (error) {
      this.#logger.debug({ error }, 'Could not send the heartbeat');
    }
  }
}
