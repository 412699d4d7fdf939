import { appendFileSync } from 'node:fs';
import type { AuditCounts, Problem, ProblemKind } from './audit.js';
import type { Recovery } from './fault-fleet.js';

/** One line of the table in docs/faults.md. */
export interface FaultRow {
  readonly fault: string;
  /** With what settings, and what was done. */
  readonly setting: string;
  /** What to expect of it. */
  readonly about: string;
  readonly recovery: Recovery;
  /** The longest time without an acknowledged enqueue. */
  readonly silenceMs: number;
  readonly tailMs: number;
  /** Rejected enqueues by code, or message where there is none. */
  readonly rejected: Readonly<Record<string, number>>;
  readonly audit: AuditCounts;
  /** What this fault may do to tasks or stops, as many as there were. */
  readonly tolerated: Readonly<Partial<Record<ProblemKind, number>>>;
  /** What it may not do: empty for a clean audit. */
  readonly unexpected: Readonly<Partial<Record<ProblemKind, number>>>;
  /** More figures, by name. */
  readonly figures: Readonly<Record<string, string | number>>;
}

/** Keeps a line for the table, if somebody makes one: FAULTS_REPORT is the file that it goes to. */
export function report(row: FaultRow): void {
  const file = process.env['FAULTS_REPORT'];
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`);
}

/** How many tasks had a problem of each kind. */
export function tally(problems: readonly Problem[]): Partial<Record<ProblemKind, number>> {
  const counts: Partial<Record<ProblemKind, number>> = {};
  for (const { kind } of problems) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
