import { ratioOf } from '../harness/statistics.js';
import type { Ratio, Row, SuiteResult } from '../harness/suite.js';
import { labelOf } from '../harness/table.js';

/** A ratio may get worse by this share of its stored value. */
const TOLERANCE = 0.1;

/** A ratio of a stored run beside the same ratio now. */
export interface Compared {
  readonly suite: string;
  /** The row and the ratio: `process: fleet / bare BullMQ`. */
  readonly name: string;
  readonly base: number;
  readonly now: number;
  /** How much worse the ratio is than its stored value, as a share of that; negative if it is better. */
  readonly worse: number;
  /** The larger of both runs' interquartile ranges, relative to the median. */
  readonly spread: number;
  readonly verdict: Verdict;
}

/**
 * - `within`: at most 10 % worse.
 * - `fell`: worse by more than 10 %, and by more than its rounds differ from each other.
 * - `noisy`: worse by more than 10 %, but its rounds differ as much.
 * - `gone`: no longer measured.
 */
export type Verdict = 'within' | 'fell' | 'noisy' | 'gone';

/**
 * Compares every ratio of the stored suites with those measured now. Suites with a ratio that fell or is too noisy are measured once more,
 * and the second run decides about these ratios.
 */
export async function checkRun(
  stored: readonly SuiteResult[],
  now: readonly SuiteResult[],
  rerun: (suites: readonly string[]) => Promise<readonly SuiteResult[]>,
): Promise<Compared[]> {
  const first = compareRuns(stored, now);
  const suspects = [...new Set(first.filter(isSuspect).map(({ suite }) => suite))];
  if (suspects.length === 0) return first;
  const second = compareRuns(stored, await rerun(suspects));
  return first.map((one) => (isSuspect(one) ? (second.find(({ suite, name }) => suite === one.suite && name === one.name) ?? one) : one));
}

function isSuspect({ verdict }: Compared): boolean {
  return verdict === 'fell' || verdict === 'noisy';
}

function compareRuns(stored: readonly SuiteResult[], measured: readonly SuiteResult[]): Compared[] {
  return stored.flatMap(({ name: suite, rows }) =>
    rows.flatMap((base) => {
      const now = measured.find(({ name }) => name === suite)?.rows.find(({ name }) => name === base.name);
      return (base.ratios ?? []).flatMap((ratio) => compareRatio(suite, { base, now, ratio }) ?? []);
    }),
  );
}

function compareRatio(suite: string, { base, now, ratio }: { base: Row; now: Row | undefined; ratio: Ratio }): Compared | null {
  const then = ratioOf(base, ratio);
  // A stored ratio without values promises nothing.
  if (then === null || !Number.isFinite(then.value)) return null;
  const name = `${base.name}: ${labelOf(ratio)}`;
  const today = now === undefined ? null : ratioOf(now, ratio);
  if (today === null || !Number.isFinite(today.value))
    return { suite, name, base: then.value, now: Number.NaN, worse: 0, spread: 0, verdict: 'gone' };
  const change = today.value / then.value - 1;
  const worse = ratio.better === 'higher' ? -change : change;
  const spread = Math.max(then.spread, today.spread);
  return { suite, name, base: then.value, now: today.value, worse, spread, verdict: verdictOf(worse, spread) };
}

function verdictOf(worse: number, spread: number): Verdict {
  if (worse <= TOLERANCE) return 'within';
  return worse > spread ? 'fell' : 'noisy';
}

/** Returns whether the check fails. */
export function hasFallen(compared: readonly Compared[]): boolean {
  return compared.some(({ verdict }) => verdict === 'fell' || verdict === 'gone');
}

/** Reports what is not within the tolerance, one line each, and counts the rest. */
export function checkLines(compared: readonly Compared[]): string[] {
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  const lines = compared.flatMap(({ suite, name, base, now, worse, spread, verdict }) => {
    const both = `${base.toFixed(2)} → ${now.toFixed(2)}`;
    if (verdict === 'fell')
      return [`fell       ${suite}, ${name}: ${both}, ${percent(worse)} worse (spread of the rounds ${percent(spread)})`];
    if (verdict === 'noisy')
      return [`too noisy  ${suite}, ${name}: ${both}, ${percent(worse)} worse, but the rounds spread by ${percent(spread)}`];
    if (verdict === 'gone')
      return [`gone       ${suite}, ${name}: was ${base.toFixed(2)}, is not measured any more; store a new base if that is right`];
    return worse < -TOLERANCE ? [`better     ${suite}, ${name}: ${both}, ${percent(-worse)} better`] : [];
  });
  const within = compared.filter(({ verdict }) => verdict === 'within').length;
  return [...lines, `${within} of ${compared.length} ratios are at most ${percent(TOLERANCE)} worse than in the stored run`];
}
