import type { Redis } from 'ioredis';
import type { Logger } from '../shared/logger.js';
import { hangUp } from '../shared/redis/connect.js';
import { checkHealth } from '../shared/redis/health-check.js';
import { connectToServer } from '../shared/redis/server-connection.js';
import { RepeatedLines } from '../shared/repeated-lines.js';
import { Service } from '../shared/service.js';
import { type StopCommand, parseCommand } from '../shared/stop/command.js';
import { parseStop } from '../shared/stop/record.js';
import type { ConnectedSettings, Store } from '../shared/store.js';
import type { ActiveRuns } from './active-runs.js';

export interface StopListenerOptions {
  readonly settings: ConnectedSettings;
  readonly store: Store;
  readonly runs: ActiveRuns;
  readonly logger: Logger;
  /** Called at every (re)subscription. */
  readonly onSubscribed: () => void;
}

/** How long a stop of a task that was not running here is remembered: it may have been fetched and not yet tracked. */
const REMEMBER_MS = 10_000;
const MAX_REMEMBERED = 100_000;

/**
 * Hears stop commands and aborts the runs that they name. A message only makes a stop fast. What makes it certain is
 * its record with the job, which is read again for all runs at every (re)subscription and every STOP_POLL_INTERVAL_MS.
 */
export class StopListener extends Service {
  readonly #options: StopListenerOptions;
  /** Until when, of performance.now. */
  readonly #recent = new Map<string, number>();
  readonly #unknown: RepeatedLines;
  #subscriber: Redis | null = null;
  #poll: NodeJS.Timeout | null = null;
  #endHealthCheck: () => void = () => undefined;
  #reading = false;
  #readAgain = false;
  #subscribed = false;

  constructor(options: StopListenerOptions) {
    super();
    this.#options = options;
    this.#unknown = new RepeatedLines(options.logger);
  }

  get subscribed(): boolean {
    return this.#subscribed;
  }

  /** Whether a stop of this task was heard of while it was not running here. */
  readonly recentlyStopped = (id: string): boolean => this.#recent.size > 0 && this.#recent.has(id);

  protected override onStart(): Promise<void> {
    const { settings, logger } = this.#options;
    const { redis, keys } = this.#options.store;
    const subscriber = connectToServer(redis, keys.commands, { settings, policy: 'wait', logger, name: 'taskfleet:worker:stop', lazy: true });
    this.#subscriber = subscriber;
    subscriber.on('message', (_channel: string, message: string) => this.#hear(message));
    subscriber.on('ready', () => void this.#subscribe(subscriber));
    subscriber.on('close', () => {
      this.#subscribed = false;
    });
    subscriber.connect().catch(() => undefined); // it goes on trying, and says so by its events
    this.#poll = setInterval(() => void this.readStops(), settings.stopPollMs);
    this.#endHealthCheck = checkHealth(subscriber, settings.healthCheckMs);
    return Promise.resolve();
  }

  protected override onStop(): Promise<void> {
    if (this.#poll) clearInterval(this.#poll);
    this.#endHealthCheck();
    if (this.#subscriber) hangUp(this.#subscriber);
    this.#subscribed = false;
    return Promise.resolve();
  }

  async #subscribe(subscriber: Redis): Promise<void> {
    try {
      await subscriber.subscribe(this.#options.store.keys.commands);
      this.#subscribed = true;
      this.#options.logger.debug('Listening for stop commands');
      this.#options.onSubscribed();
      await this.readStops();
    } catch (error) {
      if (this.stopping) return;
      this.#options.logger.warn({ error }, 'Could not subscribe to stop commands; stops are found by polling');
    }
  }

  /** Reads the recorded stops of everything that runs here, in one round trip. Called while it reads, it reads again. */
  async readStops(): Promise<void> {
    this.#readAgain = true;
    if (this.#reading) return;
    this.#reading = true;
    while (this.#readAgain) {
      this.#readAgain = false;
      await this.#readOnce();
    }
    this.#reading = false;
  }

  async #readOnce(): Promise<void> {
    this.#forget();
    const runs = this.#options.runs.all();
    if (runs.length === 0) return;
    try {
      const { redis, keys, earlyStops, unreadable } = this.#options.store;
      const readStop = (job: string): Promise<string | null> => unreadable.read(job, 'hash', redis.hget(job, 'stop'), null);
      const recorded = Promise.all(runs.map((run) => readStop(keys.jobs(run.queue) + run.id)));
      const [stops, early] = await Promise.all([recorded, earlyStops.find(runs.map(({ id }) => id))]);
      runs.forEach((run, index) => {
        const stop = parseStop(stops[index], null) ?? early.get(run.id);
        if (stop) run.requestStop({ reason: stop.reason, by: stop.by, at: stop.at?.getTime() ?? 0 });
      });
    } catch (error) {
      this.#options.logger.warn({ error }, 'Could not read the stops of running tasks');
    }
  }

  /** A throw in here would end the process: the message may come from anybody. */
  #hear(message: string): void {
    const { logger } = this.#options;
    try {
      const parsed = parseCommand(message);
      if (parsed.kind === 'bad') logger.error({ problem: parsed.problem }, 'Unsupported message on the stop channel');
      else this.#stop(parsed.command);
    } catch (error) {
      logger.error({ error }, 'A stop command could not be carried out');
    }
  }

  #stop(command: StopCommand): void {
    const { runs, store, logger } = this.#options;
    const { ids, reason, by, recordedAt, announced } = command;
    const now = store.clock.now();
    for (const id of ids) {
      const [run, ...others] = runs.find(id);
      if (!run) this.#remember(id);
      // Not one that was recorded before this run: it may be late, and have ended the run before a retry.
      else if (others.length === 0 && (recordedAt ?? now) >= run.startedAt) run.requestStop({ reason, by, at: recordedAt ?? now });
      // Which run is meant is in the record alone, once it is written.
      else if (recordedAt !== null) void this.readStops();
    }
    if (recordedAt !== null || announced) return;
    // Sent by open-webui or by hand: nobody wrote the intent. All workers do; the first one's stands.
    store.stopper.request(ids, { reason, by, fromCommand: true }).then(
      (answers) => {
        for (const [id, { kind }] of answers) if (kind === 'not_found') this.#unknown.warn(id, { id }, 'A stop command named a task that does not exist');
      },
      (error: unknown) => logger.error({ error }, 'A stop command could not be recorded'),
    );
  }

  #remember(id: string): void {
    this.#recent.delete(id); // so that the map stays in the order of time
    this.#recent.set(id, performance.now() + REMEMBER_MS);
    if (this.#recent.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#recent.keys();
    if (oldest !== undefined) this.#recent.delete(oldest);
  }

  #forget(): void {
    const now = performance.now();
    for (const [id, until] of this.#recent) {
      if (until > now) break;
      this.#recent.delete(id);
    }
  }
}
