import { appendFileSync } from 'node:fs';
import type { Recovery } from '../fault-fleet.js';
import type { AuditCounts, Problem, ProblemKind } from './audit.js';

/** One line of the table in docs/explanation/faults.md. */
export interface FaultRow {
  readonly fault: string;
  /** The settings and the action. */
  readonly setting: string;
  /** The expected effect. */
  readonly about: string;
  readonly recovery: Recovery;
  /** The longest time without an acknowledged enqueue. */
  readonly silenceMs: number;
  readonly tailMs: number;
  /** Rejected enqueues by code, or by message without a code. */
  readonly rejected: Readonly<Record<string, number>>;
  readonly audit: AuditCounts;
  /** Counts of the problems that this fault may cause. */
  readonly tolerated: Readonly<Partial<Record<ProblemKind, number>>>;
  /** Counts of the problems that it must not cause: empty for a clean audit. */
  readonly unexpected: Readonly<Partial<Record<ProblemKind, number>>>;
  /** Further measurements by name. */
  readonly figures: Readonly<Record<string, string | number>>;
}

/** Appends a line for the table to the file FAULTS_REPORT, if set. */
export function report(row: FaultRow): void {
  const file = process.env['FAULTS_REPORT'];
  if (file) appendFileSync(file, `${JSON.stringify(row)}\n`);
}

/** Returns the number of tasks per kind of problem. */
export function tally(problems: readonly Problem[]): Partial<Record<ProblemKind, number>> {
  const counts: Partial<Record<ProblemKind, number>> = {};
  for (const { kind } of problems) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
