import type { Logger } from '../shared/log/logger.js';
import { Service } from '../shared/process/service.js';
import { CommandListener } from '../shared/stop/command-listener.js';
import type { StopCommand } from '../shared/stop/commands.js';
import { type StopRecord, parseStop } from '../shared/stop/receipt.js';
import type { ConnectedSettings, Store } from '../shared/store.js';
import type { JobAddress } from '../shared/task/job-options.js';
import type { StopLatencySummary } from '../shared/workers/heartbeats.js';
import { type ActiveRuns, runStopOf } from './run/run.js';

interface StopListenerOptions {
  readonly workerId: string;
  readonly settings: ConnectedSettings;
  readonly store: Store;
  readonly runs: ActiveRuns;
  readonly logger: Logger;
  /** Called at every (re)subscription. */
  readonly onSubscribed: () => void;
  /** Called when this worker was drained or resumed. */
  readonly onWorkerChange: () => void;
}

/** How long a stop of a task that is not running here is remembered: the task may be fetched but not tracked yet. */
const REMEMBER_MS = 10_000;
const MAX_REMEMBERED = 100_000;

/**
 * Receives stop commands and aborts the runs they name. Messages only make stops fast. The record with each job makes them certain: it is
 * read for all runs at every (re)subscription and every STOP_POLL_INTERVAL_MS.
 */
export class StopListener extends Service {
  /** Expiry by task id, by performance.now. */
  readonly #recent = new Map<string, number>();
  readonly #commands: CommandListener;
  #poll: NodeJS.Timeout | null = null;
  #reading = false;
  #readAgain = false;

  constructor(private readonly options: StopListenerOptions) {
    super();
    const { runs, onSubscribed } = options;
    this.#commands = new CommandListener({
      ...options,
      name: 'taskfleet:worker:stop',
      relists: (id) => runs.find(id).length > 0,
      onCommand: (command, ours) => this.#handle(command, ours),
      own: {
        channel: options.store.keys.workerChannel(options.workerId),
        onMessage: (message) => {
          if (message !== options.workerId) return false;
          options.onWorkerChange();
          return true;
        },
      },
      onSubscribed: () => {
        onSubscribed();
        return this.readStops();
      },
    });
  }

  get subscribed(): boolean {
    return this.#commands.subscribed;
  }

  /** Returns whether a stop of this task arrived lately while the task was not running here. */
  readonly recentlyStopped = (id: string): boolean => this.#recent.size > 0 && this.#recent.has(id);

  protected override async onStart(): Promise<void> {
    await this.#commands.start();
    this.#poll = setInterval(() => void this.readStops(), this.options.settings.stopPollMs);
  }

  protected override async onStop(): Promise<void> {
    if (this.#poll) clearInterval(this.#poll);
    await this.#commands.stop();
  }

  /** Reads the recorded stops of all runs in one round trip. A call during a read makes it read again. */
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
    const runs = this.options.runs.all();
    if (runs.length === 0) return;
    try {
      const { redis, keys, pendingStops, unreadable } = this.options.store;
      const readStop = (job: string): Promise<string | null> => unreadable.read(job, 'hash', redis.hget(job, 'stop'), null);
      const recorded = Promise.all(runs.map((run) => readStop(keys.jobs(run.queue) + run.id)));
      const [stops, early] = await Promise.all([recorded, pendingStops.find(runs.map(({ id }) => id))]);
      runs.forEach((run, index) => {
        const stop = parseStop(stops[index], null) ?? early.get(run.id);
        if (stop) run.requestStop(runStopOf(stop));
      });
    } catch (error) {
      this.options.logger.warn({ error }, 'Could not read the recorded stops of running tasks');
    }
  }

  #handle(command: StopCommand, ours: boolean): void {
    const { runs, store } = this.options;
    const { ids, reason, by, recordedAt, carrier } = command;
    const now = store.clock.now();
    for (const id of ids) {
      const [run, ...others] = runs.find(id);
      if (!run) {
        if (ours) this.#remember(id);
      } else if (!ours) {
        // May mean a task of the same id in another database. If it means ours, sent under a former fleet id, there is a record.
        void this.readStops();
      } else if (others.length === 0 && (recordedAt ?? now) >= run.startedAt) {
        // A stop older than this run may be a late message that already ended an earlier attempt.
        run.requestStop({ reason, by, carrier, at: recordedAt ?? now }, recordedAt !== null);
      } else if (recordedAt !== null) {
        // Only the record, once written, tells which run is meant.
        void this.readStops();
      }
    }
  }

  #remember(id: string): void {
    this.#recent.delete(id); // keeps the map in order of time
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

/**
 * Returns the stop that applies to a task before its handler is called, or null: the task's own, recorded with its job or pending, or that
 * of its parent.
 */
export async function standingStop(store: Store, job: JobAddress, parent: JobAddress | undefined): Promise<StopRecord | null> {
  const { redis, keys, pendingStops } = store;
  const readStop = async ({ queue, id }: JobAddress): Promise<StopRecord | null> =>
    parseStop(await redis.hget(keys.jobs(queue) + id, 'stop'), null);
  const [own, early, inherited] = await Promise.all([readStop(job), pendingStops.find([job.id]), parent ? readStop(parent) : null]);
  return own ?? early.get(job.id) ?? inherited;
}

/** Number of latencies kept. */
const KEPT = 1_000;

/** The last 1,000 stop latencies, from the record of a stop to the end of its job. */
export class StopLatency {
  /** A ring buffer. */
  readonly #latest: number[] = [];
  #count = 0;

  /** Adds a latency; a negative one, from clocks that disagree, counts as 0. */
  record(ms: number): void {
    this.#latest[this.#count % KEPT] = Math.max(0, ms);
    this.#count += 1;
  }

  /** Computes percentiles by nearest rank. */
  summary(): StopLatencySummary {
    const sorted = this.#latest.toSorted((a, b) => a - b);
    const at = (percent: number): number | null => sorted[Math.ceil((percent * sorted.length) / 100) - 1] ?? null;
    return { count: this.#count, p50Ms: at(50), p99Ms: at(99), maxMs: at(100) };
  }
}
