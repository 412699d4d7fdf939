import type { Receipt, Task } from './api-types.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const LONGEST_VALUE = 120;

/** The tolerated clock skew; times further ahead are reported as being in the future. */
const FUTURE = 2 * SECOND;

/**
 * Formats a duration in its one or two largest units: `42 s`, `4 min`, `3 h 5 min`, `2 d 4 h`. A negative duration hints at clock
 * skew: `in 59 min (clock?)`.
 */
export function duration(ms: number): string {
  if (ms < -FUTURE) return `in ${duration(-ms)} (clock?)`;
  const left = Math.max(0, ms);
  if (left < MINUTE) return `${Math.floor(left / SECOND)} s`;
  if (left < HOUR) return `${Math.floor(left / MINUTE)} min`;
  if (left < DAY) return `${Math.floor(left / HOUR)} h ${Math.floor((left % HOUR) / MINUTE)} min`;
  return `${Math.floor(left / DAY)} d ${Math.floor((left % DAY) / HOUR)} h`;
}

/** Formats a time in the past: `4 min ago`, or `in 59 min (clock?)`. */
export function ago(ms: number): string {
  return ms < -FUTURE ? duration(ms) : `${duration(ms)} ago`;
}

/** Formats when something is due: `in 42 s`, or `now`. */
export function dueIn(ms: number): string {
  return ms < SECOND ? 'now' : `in ${duration(ms)}`;
}

/** Says when a delayed task starts: `retries in 42 s`, `starts in 3 min`. Null for a task that is not delayed. */
export function nextAttemptText({ state, next_attempt_at: nextAt }: Pick<Task, 'state' | 'next_attempt_at'>, now: number): string | null {
  if (nextAt === null || (state !== 'retrying' && state !== 'scheduled')) return null;
  return `${state === 'retrying' ? 'retries' : 'starts'} ${dueIn(Date.parse(nextAt) - now)}`;
}

/** Formats a latency, to the millisecond below ten seconds. */
export function latency(ms: number): string {
  return ms < 10 * SECOND ? `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms` : duration(ms);
}

/** Formats the length of an attempt or of a delay: `840 ms`, `8.4 s`, `4 min`. */
export function span(ms: number): string {
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  return ms < 10 * SECOND ? `${Math.floor(ms / 100) / 10} s` : duration(ms);
}

/** Returns the task's name, or a placeholder. */
export function nameOf({ name, queue }: Pick<Task, 'name' | 'queue'>): string {
  return name ?? (queue === null ? 'foreign task' : 'unknown');
}

interface Progress {
  /** 0 to 1; null without a total. */
  readonly fraction: number | null;
  readonly text: string;
}

/** Formats a handler's last progress report: a percentage, `{ done, total }` or a custom value. Null without a report. */
export function progressOf(value: unknown): Progress | null {
  if (value === null || value === undefined || value === '') return null;
  if (typeof value === 'number') return { fraction: Math.min(1, Math.max(0, value / 100)), text: `${Math.round(value)} %` };
  const { done, total } = value as { done?: unknown; total?: unknown };
  if (typeof done === 'number' && typeof total === 'number' && total > 0)
    return { fraction: Math.min(1, Math.max(0, done / total)), text: `${done} of ${total}` };
  return { fraction: null, text: shorten(textOf(value)) };
}

/** Formats a value as text: strings as they are, other values as JSON. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function attemptOf({ attempt, max_attempts: maxAttempts }: Task): string {
  return maxAttempts === null ? String(attempt) : `${attempt} of ${maxAttempts}`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** Describes a stop receipt in a sentence. */
export function receiptText({ outcome, ended_as: endedAs, via, latency_ms: latencyMs }: Receipt): string {
  switch (outcome) {
    case 'cancelled':
      return `cancelled${via === null ? '' : ` by ${WAYS[via]}`}${latencyMs === null ? '' : ` after ${latency(latencyMs)}`}`;
    case 'requested':
      return 'stop recorded, not settled yet';
    case 'finished':
      return `already ${endedAs ?? 'finished'}`;
    case 'not_found':
      return 'no such task';
  }
}

const WAYS: Readonly<Record<NonNullable<Receipt['via']>, string>> = {
  queue: 'removal from the queue',
  signal: 'signal',
  kill: 'terminating its thread',
  abandon: 'abandoning its handler',
  fence: 'fencing its dead worker',
};

/** Derives the stop receipt from the task. */
export function receiptOf(task: Task): Receipt {
  const { id, state, stop, finished_at: finishedAt } = task;
  const ended = state === 'cancelled' || state === 'completed' || state === 'failed' || state === 'skipped' ? state : null;
  return {
    id,
    outcome: ended === null ? 'requested' : ended === 'cancelled' ? 'cancelled' : 'finished',
    ended_as: ended,
    ...{
      via: stop?.via ?? null,
      reason: stop?.reason ?? null,
      by: stop?.by ?? null,
      requested_at: stop?.at ?? null,
      settled_at: finishedAt,
    },
    latency_ms: ended === null || !stop?.at || finishedAt === null ? null : Math.max(0, Date.parse(finishedAt) - Date.parse(stop.at)),
  };
}

function shorten(text: string): string {
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}
