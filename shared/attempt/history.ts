import { HashReader } from '../records/hash-reader.js';
import type { JobPlace } from '../task/state.js';
import { ATTEMPT_FIELDS, type Attempt, type AttemptRecord, parseAttempts, workerOfId } from './attempt.js';

/**
 * The fields of a job that count its runs. BullMQ's: `atm` ended attempts, `ats` fetches, `stc` stalls. Ours:
 * - `tries`: runs before those that `ats` counts. Fetches that call no handler count as no run, so it may be negative.
 * - `given_up`: stalls that are no fault of the task, because Redis was away for all workers.
 * - `unrun`: `1` if the task ended without its last fetch becoming an attempt, although `atm` counts it.
 * - `put_off`: `1` once a handler put the task off without counting the attempt.
 */
export const COUNT_FIELDS = ['atm', 'ats', 'stc', 'tries', 'given_up', 'unrun', 'put_off'] as const;

/** How often a task was run. */
export interface RunCounts {
  /** Attempts that ended. */
  readonly made: number;
  /** Attempts whose worker died or froze. They use up no retry. */
  readonly losses: number;
  /** The number of the last run: the order of the records, and their slot. */
  readonly run: number;
  readonly unrun: boolean;
  readonly putOff: boolean;
}

/** Reads the counts of a job. */
export function readCounts(fields: HashReader): RunCounts {
  const unrun = fields.flag('unrun') ?? false;
  return {
    made: Math.max(0, (fields.whole('atm') ?? 0) - (unrun ? 1 : 0)),
    losses: Math.max(0, (fields.whole('stc') ?? 0) - (fields.whole('given_up') ?? 0)),
    run: Math.max(0, Math.trunc(fields.signed('tries') ?? 0) + (fields.whole('ats') ?? 0)),
    unrun,
    putOff: fields.flag('put_off') ?? false,
  };
}

/** The fields that tell of a run whose worker is dead. */
export const LOST_FIELDS = ['pb', 'processedOn', 'atm', 'ats', 'stc', 'tries', 'given_up'] as const;

/**
 * Makes the record of a run whose worker is dead, from the values of {@link LOST_FIELDS}.
 * @param ended when the worker was found dead, in ms since the epoch
 */
export function lostAttempt(values: readonly (string | null)[], ended: number): AttemptRecord {
  const fields = new HashReader(Object.fromEntries(LOST_FIELDS.map((name, index) => [name, values[index] ?? null])));
  const { made, losses, run } = readCounts(fields);
  const started = fields.ms('processedOn');
  const number = made + losses + 1;
  // A plain BullMQ worker wrote the start by its own clock, which may be ahead.
  return { number, run, worker: fields.text('pb'), started, ended: Math.max(ended, started ?? 0), outcome: 'worker_lost' };
}

/** The last run of a task, by its job's fields. */
export interface LastRun {
  readonly run: number;
  /** The number of its attempt. */
  readonly attempt: number;
  /** False if the task was only fetched, to end it, or was not fetched. */
  readonly ran: boolean;
  readonly place: JobPlace;
  readonly stopped: boolean;
  readonly worker: string | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly error: string | null;
}

/**
 * Returns a task's attempts, oldest first: the recorded ones, then the last run if it has no record. Attempts that completed or still
 * run never have one; attempts of plain BullMQ workers and of older versions have none either.
 */
export function attemptsOf(fields: HashReader, last: LastRun): readonly Attempt[] {
  const recorded = parseAttempts(
    ATTEMPT_FIELDS.map((name) => fields.text(name)),
    (problem) => fields.note(problem),
  );
  const attempts = recorded.map(({ attempt }) => attempt);
  if (!last.ran || recorded.some(({ run }) => run === last.run)) return attempts;
  const derived = lastAttempt(last);
  return derived === null ? attempts : [...attempts, derived];
}

function lastAttempt({ attempt, place, stopped, worker, startedAt, finishedAt, error }: LastRun): Attempt | null {
  const run = { number: attempt, worker: worker === null ? null : workerOfId(worker), startedAt, error: null, retryAt: null };
  switch (place) {
    case 'active':
      return startedAt && { ...run, endedAt: null, outcome: null };
    case 'completed':
      return { ...run, endedAt: finishedAt, outcome: 'completed' };
    case 'failed':
      if (stopped) return { ...run, endedAt: finishedAt, outcome: 'cancelled' };
      return { ...run, endedAt: finishedAt, outcome: 'failed', error: failureOfText(error) };
    default:
      return null;
  }
}

/** Ends the attempt that was running when its task was last read: the task is no longer stored, and its record is unknown. */
export function endRunning(
  attempts: readonly Attempt[] | null,
  outcome: 'completed' | 'failed' | 'cancelled',
  endedAt: Date,
  message: string | null,
): readonly Attempt[] | null {
  const error = outcome === 'failed' ? failureOfText(message) : null;
  return attempts && attempts.map((attempt) => (attempt.outcome === null ? { ...attempt, outcome, endedAt, error } : attempt));
}

function failureOfText(message: string | null): Attempt['error'] {
  return message === null ? null : { name: 'Error', message, code: null, stack: null, cause: null, errors: [] };
}
