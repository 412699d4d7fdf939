import { isName } from '../keys.js';
import { type TerminalState, byTerminalState } from '../task/state.js';
import { type Count, type Counters, createCount } from './counters.js';
import { DURATIONS, type Duration, UNKNOWN, fieldOf, seriesBucketOf } from './fields.js';

/** Limit on names with series of their own in a process; further names share one. */
const MOST_NAMES = 100;

/** The counts of one name. */
interface NameCounts {
  readonly finished: Readonly<Record<TerminalState, Count>>;
  /** By bucket. */
  readonly durations: Readonly<Record<Duration, Map<number, Count>>>;
}

/** Counts finished tasks and durations by task name over time. */
export class NameSeries {
  readonly #names = new Map<string, NameCounts>();
  readonly #others = countsOf(UNKNOWN);

  constructor(private readonly counters: Counters) {}

  finished(name: string, outcome: TerminalState): void {
    this.counters.increase(this.#of(name).finished[outcome]);
  }

  /** Counts a duration. A negative one, from clocks that disagree, counts as 0. */
  observe(name: string, duration: Duration, ms: number): void {
    const counts = this.#of(name);
    const bucket = seriesBucketOf(ms);
    let count = counts.durations[duration].get(bucket);
    if (!count) {
      const label = counts === this.#others ? UNKNOWN : name;
      counts.durations[duration].set(bucket, (count = createCount(fieldOf(duration, label, bucket), 'duration')));
    }
    this.counters.increase(count);
  }

  #of(name: string): NameCounts {
    const known = this.#names.get(name);
    if (known) return known;
    if (this.#names.size >= MOST_NAMES || !isName(name)) return this.#others;
    const counts = countsOf(name);
    this.#names.set(name, counts);
    return counts;
  }
}

function countsOf(name: string): NameCounts {
  return {
    finished: byTerminalState((outcome) => createCount(fieldOf('finished', name, outcome), 'name')),
    durations: Object.fromEntries(DURATIONS.map((duration) => [duration, new Map<number, Count>()])) as NameCounts['durations'],
  };
}
