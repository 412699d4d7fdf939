import { DURATIONS, type Duration, SERIES, type SeriesStep } from '../../shared/metrics/fields.js';
import { type TerminalState, byTerminalState } from '../../shared/task/state.js';
import { DurationTally } from './durations.js';
import type { NameFigures, Series } from './series.js';

/** The ranges of the charts, each with its series. */
export const RANGES = {
  '1h': { step: '1m', slots: 60 },
  '24h': { step: '10m', slots: 144 },
  '7d': { step: '1h', slots: 168 },
} as const satisfies Record<string, { readonly step: SeriesStep; readonly slots: number }>;

export type Range = keyof typeof RANGES;
export const RANGE_NAMES = Object.keys(RANGES) as [Range, ...Range[]];

/** Figures of a time, in the API's JSON format; those of durations are null without any. */
export interface Figures extends Readonly<Record<TerminalState, number>> {
  /** Finished tasks per minute; null for a slot that has just begun. */
  readonly per_minute: number | null;
  readonly run_p50_ms: number | null;
  readonly run_p95_ms: number | null;
  readonly wait_p50_ms: number | null;
  readonly wait_p95_ms: number | null;
  readonly stop_p50_ms: number | null;
  readonly stop_p95_ms: number | null;
}

/** In the API's JSON format. */
export interface History {
  readonly range: Range;
  readonly name: string | null;
  readonly step_s: number;
  /** Names with tasks in the range, most finished tasks first. */
  readonly names: readonly (Figures & { readonly name: string })[];
  /** Of the whole range, all names or the given one. */
  readonly total: Figures;
  readonly points: readonly (Figures & { readonly at: string })[];
}

const MINUTE_MS = 60_000;
/** A shorter time gives no rate. */
const MIN_RATE_MS = 10_000;
const MOST_NAMES = 200;

/** Sums up figures. */
export class FigureTally {
  readonly #finished: Record<TerminalState, number> = { ...byTerminalState(() => 0) };
  readonly #durations = { run: new DurationTally(), wait: new DurationTally(), stop: new DurationTally() };

  add({ finished, durations }: NameFigures): void {
    for (const [outcome, count] of Object.entries(finished) as [TerminalState, number][]) this.#finished[outcome] += count;
    for (const duration of DURATIONS) this.#durations[duration].add(durations[duration]);
  }

  get finished(): number {
    return Object.values(this.#finished).reduce((sum, count) => sum + count, 0);
  }

  get failed(): number {
    return this.#finished.failed;
  }

  durations(duration: Duration): DurationTally {
    return this.#durations[duration];
  }

  /** @param ms the time over which the figures were counted */
  figures(ms: number): Figures {
    const { run, wait, stop } = this.#durations;
    const [runP50, runP95] = run.percentiles(50, 95);
    const [waitP50, waitP95] = wait.percentiles(50, 95);
    const [stopP50, stopP95] = stop.percentiles(50, 95);
    return {
      ...this.#finished,
      per_minute: ms < MIN_RATE_MS ? null : Math.round((this.finished * MINUTE_MS * 100) / ms) / 100,
      ...{ run_p50_ms: runP50, run_p95_ms: runP95, wait_p50_ms: waitP50, wait_p95_ms: waitP95 },
      ...{ stop_p50_ms: stopP50, stop_p95_ms: stopP95 },
    };
  }
}

/** Sums up a series by name. */
export function tallyNames({ slots }: Series): Map<string, FigureTally> {
  const tallies = new Map<string, FigureTally>();
  for (const slot of slots) {
    for (const [name, figures] of slot) {
      let tally = tallies.get(name);
      if (!tally) tallies.set(name, (tally = new FigureTally()));
      tally.add(figures);
    }
  }
  return tallies;
}

/**
 * Returns the history of a range.
 * @param name limits total and points to a task name; null for all
 */
export function historyOf(range: Range, series: Series, name: string | null, now: number): History {
  const { stepMs, from, slots } = series;
  const lengthMs = now - from;
  const total = new FigureTally();
  const points = slots.map((slot, index) => {
    const tally = new FigureTally();
    for (const [of, figures] of slot) {
      if (name !== null && of !== name) continue;
      tally.add(figures);
      total.add(figures);
    }
    const at = from + index * stepMs;
    return { at: new Date(at).toISOString(), ...tally.figures(Math.min(stepMs, now - at)) };
  });
  const names = [...tallyNames(series)]
    .toSorted(([a, left], [b, right]) => right.finished - left.finished || (a < b ? -1 : 1))
    .slice(0, MOST_NAMES)
    .map(([of, tally]) => ({ name: of, ...tally.figures(lengthMs) }));
  return { range, name, step_s: SERIES[RANGES[range].step].ms / 1_000, names, total: total.figures(lengthMs), points };
}
