import { isTime } from '../records/hash-reader.js';
import { type Failure, parseFailure } from './failure.js';

/**
 * How an attempt ended.
 * - `completed`, `failed`, `cancelled`, `timed_out`: the handler's own end, a stop, or its timeout.
 * - `requeued`: its worker shut down and handed the task back; the attempt does not count.
 * - `worker_lost`: its worker died or froze. `lock_lost`: its worker lived on, but lost the task's lock; the result was dropped.
 */
export const ATTEMPT_OUTCOMES = ['completed', 'failed', 'cancelled', 'timed_out', 'requeued', 'worker_lost', 'lock_lost'] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

/** The worker of an attempt; its id has host and pid, so that they are known after its death. */
export interface AttemptWorker {
  readonly id: string;
  /** Null if unknown: the worker of another program, or one that was not given its pid. */
  readonly host: string | null;
  readonly pid: number | null;
}

/** One run of a task's handler by a worker. */
export interface Attempt {
  /** From 1, as in `context.attempt`. An attempt that does not count has the number of the next one. */
  readonly number: number;
  /** Null if unknown. */
  readonly worker: AttemptWorker | null;
  readonly startedAt: Date | null;
  /** Null while it runs. */
  readonly endedAt: Date | null;
  /** Null while it runs. */
  readonly outcome: AttemptOutcome | null;
  readonly error: Failure | null;
  /** When the next attempt was due, if this one failed and was retried. */
  readonly retryAt: Date | null;
}

/** The stored record of an attempt that did not end well. Times are Redis', in ms since the epoch. */
export interface AttemptRecord {
  readonly number: number;
  /** Counts the task's runs over all its retries: the order of the records, and the slot of this one. */
  readonly run: number;
  readonly worker: string | null;
  readonly started: number | null;
  readonly ended: number;
  readonly outcome: AttemptOutcome;
  readonly error?: Failure;
  readonly retry_at?: number;
}

/** Records kept with a task, a ring of fields on its job: newer ones replace the oldest. */
export const KEPT_ATTEMPTS = 20;
export const ATTEMPT_FIELDS: readonly string[] = Array.from({ length: KEPT_ATTEMPTS }, (_, slot) => `try${slot}`);

/** Returns the job's field and value of a record. */
export function attemptField(record: AttemptRecord): Readonly<Record<string, string>> {
  return { [ATTEMPT_FIELDS[record.run % KEPT_ATTEMPTS] as string]: JSON.stringify(record) };
}

/** A parsed record, with the number of its run. */
export interface RecordedAttempt {
  readonly run: number;
  readonly attempt: Attempt;
}

/**
 * Parses the values of {@link ATTEMPT_FIELDS}, oldest attempt first. Any program may have written them: an unreadable one is left out.
 * @param note called with the problem of each unreadable record
 */
export function parseAttempts(values: readonly (string | null | undefined)[], note: (problem: string) => void): RecordedAttempt[] {
  return values
    .flatMap((text, slot) => {
      if (!text) return [];
      const parsed = parseRecord(text);
      if (parsed === null) note(`${ATTEMPT_FIELDS[slot]}: expected the record of an attempt`);
      return parsed ?? [];
    })
    .toSorted((a, b) => a.run - b.run);
}

/** Returns the field of the newest record with an error added, to be written; none if there is no readable record. */
export function withLastError(values: readonly (string | null | undefined)[], error: Failure): Readonly<Record<string, string>> {
  const texts = values.flatMap((text) => {
    const run = text ? parseRecord(text)?.run : undefined;
    return text && run !== undefined ? [{ run, text }] : [];
  });
  const [last] = texts.toSorted((a, b) => b.run - a.run);
  return last ? attemptField({ ...(JSON.parse(last.text) as AttemptRecord), error }) : {};
}

function parseRecord(text: string): RecordedAttempt | null {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof record !== 'object' || record === null) return null;
  const { number, run, worker, started, ended, outcome, error, retry_at: retryAt } = record as Record<string, unknown>;
  const known = ATTEMPT_OUTCOMES.find((one) => one === outcome);
  if (!isWhole(number) || !isWhole(run) || known === undefined) return null;
  return {
    run,
    attempt: {
      number,
      worker: typeof worker === 'string' && worker !== '' ? workerOfId(worker) : null,
      startedAt: dateOf(started),
      endedAt: dateOf(ended),
      outcome: known,
      error: parseFailure(error),
      retryAt: dateOf(retryAt),
    },
  };
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function dateOf(ms: unknown): Date | null {
  return isTime(ms) && ms !== 0 ? new Date(ms as number) : null;
}

/** Splits a worker's id, `<host>-<pid>-<8 hexadecimal digits>`, into its parts. */
export function workerOfId(id: string): AttemptWorker {
  const [, host = null, pid = '0'] = /^(.+)-(\d{1,10})-[0-9a-f]{8}$/.exec(id) ?? [];
  return { id, host, pid: Number(pid) || null };
}

/** Formats an attempt for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function attemptToJson(attempt: Attempt): Record<string, unknown> {
  const { number, worker, startedAt, endedAt, outcome, error, retryAt } = attempt;
  return {
    number,
    worker,
    started_at: startedAt?.toISOString() ?? null,
    ended_at: endedAt?.toISOString() ?? null,
    outcome,
    error,
    retry_at: retryAt?.toISOString() ?? null,
  };
}
