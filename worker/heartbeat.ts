import type { Logger } from '../shared/logger.js';
import { type Schemas, type WorkerStatus, removeHeartbeat, writeHeartbeat } from '../shared/records/heartbeats.js';
import { Service } from '../shared/service.js';
import type { Store } from '../shared/store.js';

interface HeartbeatOptions {
  readonly workerId: string;
  readonly store: Store;
  readonly intervalMs: number;
  readonly status: () => WorkerStatus;
  readonly schemas: Schemas;
  readonly logger: Logger;
}

/** Reports every HEARTBEAT_INTERVAL_MS that this worker is alive, and its status. */
export class Heartbeat extends Service {
  readonly #options: HeartbeatOptions;
  /** By performance.now. */
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | null = null;
  #beating: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(options: HeartbeatOptions) {
    super();
    this.#options = options;
  }

  protected override onStart(): Promise<void> {
    this.#timer = setInterval(() => void this.beat(), this.#options.intervalMs);
    this.#options.store.redis.on('ready', () => void this.beat());
    void this.beat();
    return Promise.resolve();
  }

  /** Removes the worker from the list at once, if Redis is connected. */
  protected override async onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    const { store, workerId } = this.#options;
    if (store.redis.status === 'ready') await removeHeartbeat(store, workerId);
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
    // While Redis is away, heartbeats would queue up in the client and all be sent later.
    if (this.#options.store.redis.status !== 'ready' || this.stopping) return;
    try {
      await writeHeartbeat(this.#options.store, { ...this.#options, startedAt: this.#startedAt }, this.#options.status());
    } catch (error) {
      this.#options.logger.debug({ error }, 'Could not send the heartbeat');
    }
  }
}
