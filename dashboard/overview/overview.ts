import type { Producer } from '../../producer/index.js';
import { readLosses, suspectsOf } from '../../shared/records/losses.js';
import { readReconcile } from '../../shared/records/reconcile.js';
import type { Store } from '../../shared/store.js';
import type { WorkerView } from '../../shared/workers/worker-view.js';
import { cached } from '../http/cached.js';
import { type Attention, mostSevere } from './attention/attention.js';
import { fleetAttention, isSilent } from './attention/fleet-attention.js';
import { queueAttention } from './attention/queue-attention.js';
import { type UsualTimes, taskAttention } from './attention/task-attention.js';
import { type Failures, readFailures } from './failures.js';
import { type FigureTally, type Figures, type History, RANGES, type Range, historyOf, tallyNames } from './history.js';
import { type QueueFigures, figuresOf, oldestWaitOf, sumOf } from './queue-figures.js';
import { readRedisState } from './redis-state.js';
import { findLongRuns } from './running.js';
import { SeriesReader } from './series.js';

/** The state of the fleet, in the API's JSON format. */
export interface OverviewView {
  /** Time of the reading, ISO 8601. */
  readonly at: string;
  /** Of all queues but the fleet's own. */
  readonly states: QueueFigures;
  readonly queues: readonly (QueueFigures & { readonly name: string; readonly paused: boolean; readonly oldest_wait_ms: number | null })[];
  readonly oldest_wait: { readonly queue: string; readonly task: string | null; readonly name: string | null; readonly ms: number } | null;
  readonly last_hour: Figures;
  readonly failures: readonly Failures[];
  readonly workers: WorkerFigures;
  readonly stops: StopFigures;
  /** The most severe first. */
  readonly attention: readonly Attention[];
}

interface WorkerFigures {
  readonly alive: number;
  readonly silent: number;
  readonly drained: number;
  readonly slots: number;
  readonly busy: number;
}

/** Stops of the last hour. */
interface StopFigures {
  readonly settled: number;
  readonly p50_ms: number | null;
  readonly p95_ms: number | null;
  /** Running tasks whose stop has not settled yet, and how long the oldest has waited. */
  readonly open: number;
  readonly oldest_open_ms: number | null;
}

interface OverviewOptions {
  readonly store: Store;
  readonly producer: Producer;
  /** Returns the time limit of a task name in ms; null for none, or if its definition is unknown. */
  readonly timeoutOf: (name: string) => number | null;
}

/** All callers share a reading for this time, in ms. */
const SHARED_MS = 3_000;
const USUAL_SHARED_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Fewer tasks tell nothing about the usual time. */
const MIN_SAMPLE = 20;

/**
 * Reads the overview and the charts. The number of commands grows with queues and workers, not with tasks, and callers share readings. An
 * unreadable record is reported and left out.
 */
export class Overview {
  readonly #series: SeriesReader;
  readonly #usual: () => Promise<ReadonlyMap<string, UsualTimes>>;
  readonly read: () => Promise<OverviewView>;

  constructor(private readonly options: OverviewOptions) {
    this.#series = new SeriesReader(options.store);
    this.#usual = cached(USUAL_SHARED_MS, async () => usualTimes(tallyNames(await this.#range('24h'))));
    this.read = cached(SHARED_MS, () => this.#read());
  }

  /** @param name limits the history to a task name; null for all */
  async history(range: Range, name: string | null): Promise<History> {
    return historyOf(range, await this.#range(range), name, this.options.store.clock.now());
  }

  /** Counts the tasks that failed in the last hour. */
  async countFailed(): Promise<number> {
    return [...tallyNames(await this.#range('1h')).values()].reduce((sum, { failed }) => sum + failed, 0);
  }

  #range(range: Range): ReturnType<SeriesReader['read']> {
    const { step, slots } = RANGES[range];
    return this.#series.read(step, slots);
  }

  async #read(): Promise<OverviewView> {
    const { store, producer, timeoutOf } = this.options;
    const now = store.clock.now();
    const [names, queues, { workers, differences }, hour, usual, redis, reconciled, losses] = await Promise.all([
      store.registry.queueNames(),
      producer.queues.list(),
      producer.workers.all(),
      this.#range('1h'),
      this.#usual(),
      readRedisState(store),
      readReconcile(store),
      readLosses(store),
    ]);
    const tallies = tallyNames(hour);
    const failed = new Map([...tallies].map(([name, tally]) => [name, tally.failed]));
    const [failures, longRuns] = await Promise.all([readFailures(store, names, now - HOUR_MS, failed), findLongRuns(store, names)]);
    const { total } = historyOf('1h', hour, null, now);
    const own = queues.filter(({ builtIn }) => !builtIn);
    const stops = longRuns.flatMap(({ stoppingMs }) => stoppingMs ?? []);
    const suspects = suspectsOf(losses, now);
    return {
      at: new Date(now).toISOString(),
      states: sumOf(own.map(({ counts }) => figuresOf(counts))),
      queues: queues.map(({ name, paused, counts, oldestWaitMs }) => ({
        name,
        paused: paused !== null,
        ...figuresOf(counts),
        oldest_wait_ms: oldestWaitMs,
      })),
      oldest_wait: oldestWaitOf(own),
      last_hour: total,
      failures,
      workers: workerFigures(workers, now),
      stops: {
        settled: [...tallies.values()].reduce((sum, tally) => sum + tally.durations('stop').count, 0),
        ...{ p50_ms: total.stop_p50_ms, p95_ms: total.stop_p95_ms },
        ...{ open: stops.length, oldest_open_ms: stops.length === 0 ? null : Math.max(...stops) },
      },
      attention: mostSevere([
        ...fleetAttention({ now, workers, differences, redis, reconciledAt: reconciled?.at ?? null, suspects }),
        ...queues.flatMap((queue) =>
          queueAttention(
            queue,
            usual,
            workers.some(({ alive }) => alive),
            now,
          ),
        ),
        ...taskAttention({ longRuns, usual, timeoutOf }),
      ]),
    };
  }
}

function workerFigures(workers: readonly WorkerView[], now: number): WorkerFigures {
  const alive = workers.filter((worker) => worker.alive);
  return {
    alive: alive.length,
    silent: workers.filter((worker) => isSilent(worker, now)).length,
    drained: alive.filter(({ drained }) => drained !== null).length,
    slots: alive.reduce((sum, { slots }) => sum + (slots ?? 0), 0),
    busy: alive.reduce((sum, { running }) => sum + running.length, 0),
  };
}

function usualTimes(tallies: ReadonlyMap<string, FigureTally>): ReadonlyMap<string, UsualTimes> {
  const p95 = (tally: FigureTally, duration: 'run' | 'wait'): number | null => {
    const durations = tally.durations(duration);
    return durations.count < MIN_SAMPLE ? null : durations.percentiles(95)[0];
  };
  return new Map([...tallies].map(([name, tally]) => [name, { runP95Ms: p95(tally, 'run'), waitP95Ms: p95(tally, 'wait') }]));
}
