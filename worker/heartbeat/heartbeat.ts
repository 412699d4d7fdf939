import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { Service } from '../../shared/process/service.js';
import type { Store } from '../../shared/store.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { digestOf, summaryOf } from '../../shared/workers/definitions.js';
import type { DrainRecord } from '../../shared/workers/drains.js';
import { trimLastRecords } from '../../shared/workers/last-records.js';
import { PUBLISH_EVERY_MS, publishDefinitions } from '../../shared/workers/published-definitions.js';
import { type Beat, type HeartbeatSource, removeHeartbeat, writeHeartbeat } from '../../shared/workers/status.js';

interface HeartbeatOptions extends Omit<HeartbeatSource, 'definitions' | 'startedAt'> {
  readonly store: Store;
  readonly definitions: readonly AnyDefinition[];
  readonly beat: () => Beat;
  /** Receives the record of this worker's drain after each beat. */
  readonly onDrain: (record: DrainRecord) => void;
  readonly logger: Logger;
}

/** Reports every HEARTBEAT_INTERVAL_MS that this worker is alive, and its status. Learns with each report whether the worker is drained. */
export class Heartbeat extends Service {
  readonly #options: HeartbeatOptions;
  readonly #source: HeartbeatSource;
  #timer: NodeJS.Timeout | null = null;
  #publishTimer: NodeJS.Timeout | null = null;
  #beating: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #failed = false;

  constructor(options: HeartbeatOptions) {
    super();
    this.#options = options;
    const digests = options.definitions.map((definition) => [definition.name, digestOf(summaryOf(definition))] as const);
    this.#source = { ...options, definitions: Object.fromEntries(digests), startedAt: performance.now() };
  }

  protected override onStart(): Promise<void> {
    this.#timer = setInterval(() => void this.beat(), this.#options.intervalMs);
    this.#publishTimer = setInterval(() => void this.#publish(), PUBLISH_EVERY_MS);
    this.#options.store.redis.on('ready', () => {
      void this.beat();
      void this.#publish();
    });
    void this.beat();
    void this.#publish();
    return Promise.resolve();
  }

  /** Removes the worker from the list at once, if Redis is connected. */
  protected override async onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    if (this.#publishTimer) clearInterval(this.#publishTimer);
    const { store, workerId } = this.#options;
    if (store.redis.status === 'ready') await removeHeartbeat(store, workerId, { failed: this.#failed });
  }

  /** Keeps the record of this worker when it stops, as that of a dead one. */
  keepRecord(): void {
    this.#failed = true;
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
    const { store, beat, onDrain, logger } = this.#options;
    // While Redis is away, heartbeats would queue up in the client and all be sent later.
    if (store.redis.status !== 'ready' || this.stopping) return;
    try {
      onDrain(await writeHeartbeat(store, this.#source, beat()));
    } catch (error) {
      logger.debug({ error }, 'Could not send the heartbeat');
    }
  }

  /** Publishes the definitions, and removes old records of dead workers. */
  async #publish(): Promise<void> {
    const { store, definitions, logger } = this.#options;
    if (store.redis.status !== 'ready' || this.stopping) return;
    try {
      await publishDefinitions(store, definitions);
      await trimLastRecords(store);
    } catch (error) {
      logger.debug({ error: messageOf(error) }, 'Could not publish the definitions; trying again later');
    }
  }
}
