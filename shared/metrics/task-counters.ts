import { isName } from '../keys.js';
import { UNREADABLE_KINDS, type UnreadableKind } from '../records/unreadable-kinds.js';
import { MAINTENANCE_QUEUE } from '../schedule/schedule.js';
import { STOP_WAYS, type StopWay } from '../stop/receipt.js';
import { baseQueue } from '../task/shards.js';
import { type TerminalState, byTerminalState } from '../task/state.js';
import { type Count, type Counters, Histogram, createCount } from './counters.js';
import { UNKNOWN, fieldOf, narrowBucketOf } from './fields.js';
import { NameSeries } from './name-series.js';

/** The labels of a task. */
export interface CountedTask {
  /** A shard counts as its base queue. */
  readonly queue: string;
  readonly name: string;
}

/** How a stop was settled. A latency is null if unknown. */
interface SettledStop {
  readonly via: StopWay;
  /** From the stop's record until the worker received it, in ms. */
  readonly deliveredMs: number | null;
  /** From the stop's record to the end of the job, in ms. */
  readonly settledMs: number | null;
}

/** The reconciler's repairs, by their names in its output. */
export const REPAIRS = ['removed', 'registered', 'settled', 'inherited', 'early', 'restored', 'indexed', 'findable', 'stale'] as const;
type Repairs = Readonly<Record<(typeof REPAIRS)[number], number>>;

/** The counters of one task name. */
interface TaskCounts {
  /** Of all names of its queue, by minute. */
  readonly flow: QueueFlow;
  readonly enqueued: Count;
  readonly retried: Count;
  readonly finished: Readonly<Record<TerminalState, Count>>;
  readonly run: Histogram;
}

/** Tasks that enter and leave a queue. */
interface QueueFlow {
  readonly in: Count;
  readonly out: Count;
}

/** Limit on names with counters of their own in a process: a program may define tasks without end. */
const MOST_NAMES = 500;

/** Counts the events of tasks and stops. */
export class TaskCounters {
  readonly #counters: Counters;
  /** By queue, then by name. */
  readonly #tasks = new Map<string, Map<string, TaskCounts>>();
  readonly #flows = new Map<string, QueueFlow>();
  readonly #waits = new Map<string, Histogram>();
  readonly #minute: Readonly<Record<TerminalState, Count>>;
  /** By narrow bucket. */
  readonly #minuteStops = new Map<number, Count>();
  readonly #stops: ReadonlyMap<string, Count>;
  readonly #delivered: Histogram;
  readonly #settled: Histogram;
  readonly #repairs: ReadonlyMap<string, Count>;
  readonly #unreadable: ReadonlyMap<UnreadableKind, Count>;
  readonly #others: TaskCounts;
  /** Without maintenance tasks. */
  readonly #series: NameSeries;
  #names = 0;

  constructor(counters: Counters) {
    this.#counters = counters;
    this.#minute = byTerminalState((field) => createCount(field, 'minute'));
    this.#stops = new Map([
      ...STOP_WAYS.map((via) => [via, createCount(fieldOf('stops', 'cancelled', via))] as const),
      ...(['finished', 'not_found'] as const).map((outcome) => [outcome, createCount(fieldOf('stops', outcome, ''))] as const),
    ]);
    this.#delivered = new Histogram(counters, 'stop', 'delivered');
    this.#settled = new Histogram(counters, 'stop', 'settled');
    this.#repairs = new Map(REPAIRS.map((kind) => [kind, createCount(fieldOf('repairs', kind))]));
    this.#unreadable = new Map(UNREADABLE_KINDS.map((kind) => [kind, createCount(fieldOf('unreadable', kind))]));
    this.#others = this.#countsOf(UNKNOWN, UNKNOWN);
    this.#series = new NameSeries(counters);
  }

  enqueued(task: CountedTask): void {
    const { enqueued, flow } = this.#of(task);
    this.#counters.increase(enqueued);
    this.#counters.increase(flow.in);
  }

  /** A failed or cancelled task runs again. */
  retried(task: CountedTask): void {
    const { retried, flow } = this.#of(task);
    this.#counters.increase(retried);
    this.#counters.increase(flow.in);
  }

  /** A worker has fetched the task for the first time. */
  started({ queue, name }: CountedTask, waitMs: number): void {
    (this.#waits.get(queue) ?? this.#learnWaits(queue)).observe(waitMs);
    if (queue !== MAINTENANCE_QUEUE) this.#series.observe(name, 'wait', waitMs);
  }

  /** An attempt has ended. */
  ran(task: CountedTask, ms: number): void {
    this.#of(task).run.observe(ms);
    if (task.queue !== MAINTENANCE_QUEUE) this.#series.observe(task.name, 'run', ms);
  }

  finished(task: CountedTask, outcome: TerminalState): void {
    const { finished, flow } = this.#of(task);
    this.#counters.increase(finished[outcome]);
    this.#counters.increase(flow.out);
    if (task.queue === MAINTENANCE_QUEUE) return;
    this.#counters.increase(this.#minute[outcome]);
    this.#series.finished(task.name, outcome);
  }

  /** A stopped task has ended. */
  cancelled(task: CountedTask, { via, deliveredMs, settledMs }: SettledStop): void {
    this.finished(task, 'cancelled');
    this.#counters.increase(this.#stops.get(via) as Count);
    if (deliveredMs !== null) this.#delivered.observe(deliveredMs);
    if (settledMs === null) return;
    this.#settled.observe(settledMs);
    this.#counters.increase(this.#minuteStop(narrowBucketOf(settledMs)));
    if (task.queue !== MAINTENANCE_QUEUE) this.#series.observe(task.name, 'stop', settledMs);
  }

  /** A stop had no effect: the task had finished, or does not exist. */
  stopMissed(outcome: 'finished' | 'not_found'): void {
    this.#counters.increase(this.#stops.get(outcome) as Count);
  }

  repaired(repairs: Repairs): void {
    for (const kind of REPAIRS) this.#counters.increase(this.#repairs.get(kind) as Count, repairs[kind]);
  }

  /** A record in Redis could not be read. */
  unreadable(kind: UnreadableKind): void {
    this.#counters.increase(this.#unreadable.get(kind) as Count);
  }

  #of({ queue, name }: CountedTask): TaskCounts {
    return this.#tasks.get(queue)?.get(name) ?? this.#learn(queue, name);
  }

  #learn(queue: string, name: string): TaskCounts {
    const base = baseQueue(queue);
    const counts = base === queue ? this.#learnName(queue, name) : this.#of({ queue: base, name });
    const ofQueue = this.#tasks.get(queue) ?? new Map<string, TaskCounts>();
    if (counts !== this.#others) this.#tasks.set(queue, ofQueue.set(name, counts));
    return counts;
  }

  #learnName(queue: string, name: string): TaskCounts {
    if (this.#names >= MOST_NAMES) return this.#others;
    this.#names += 1;
    return this.#countsOf(isName(queue) ? queue : UNKNOWN, isName(name) ? name : UNKNOWN);
  }

  #learnWaits(queue: string): Histogram {
    const base = baseQueue(queue);
    const waits = this.#waits.get(base) ?? new Histogram(this.#counters, 'wait', base);
    this.#waits.set(base, waits).set(queue, waits);
    return waits;
  }

  #countsOf(queue: string, name: string): TaskCounts {
    return {
      flow: this.#flowOf(queue),
      enqueued: createCount(fieldOf('enqueued', queue, name)),
      retried: createCount(fieldOf('retried', queue, name)),
      finished: byTerminalState((outcome) => createCount(fieldOf('finished', queue, name, outcome))),
      run: new Histogram(this.#counters, 'run', queue, name),
    };
  }

  #flowOf(queue: string): QueueFlow {
    let flow = this.#flows.get(queue);
    if (!flow) {
      const countOf = (field: string): Count => createCount(`${field}|${queue}`, 'minute');
      this.#flows.set(queue, (flow = { in: countOf('in'), out: countOf('out') }));
    }
    return flow;
  }

  #minuteStop(bucket: number): Count {
    let count = this.#minuteStops.get(bucket);
    if (!count) this.#minuteStops.set(bucket, (count = createCount(fieldOf('stop', bucket), 'minute')));
    return count;
  }
}
