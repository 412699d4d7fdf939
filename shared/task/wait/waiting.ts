import { type LimitKind, type LimitName, parseLimitId } from '../../limiter/limit-id.js';
import type { LimitMark } from '../../limiter/marks.js';
import type { WaitingFor } from '../../limiter/standing.js';
import type { Pause } from '../../queue/pause.js';

/** What keeps a task from starting: a limit, or the pause of its queue. */
export type TaskWaiting = LimitWait | PauseWait;

/** The paused queue that a task waits for. */
export interface PauseWait {
  readonly kind: 'paused';
  /** The logical queue, without the number of a shard. */
  readonly queue: string;
  /** Since when; null, like `by` and `reason`, if Bull Board or another client of BullMQ paused it. */
  readonly since: Date | null;
  readonly by: string | null;
  readonly reason: string | null;
  /** The limit that the task waits for too; null for none. */
  readonly limitWait: LimitWait | null;
}

/** The limit that a queued task waits for, and its position in line. */
export interface LimitWait {
  /** The option of the definition that sets the limit. */
  readonly kind: LimitKind;
  /** The owner of the limit: a task name, `group:<name>`, or for the turns of a fair queue `queue:<name>`. */
  readonly name: string;
  /** The key that the task lines up by; null for a limit on all tasks of the owner. */
  readonly key: string | null;
  /** Tasks of the key that may run at once; of a rate, its number of starts or tokens. */
  readonly limit: number;
  /** Tasks that hold a place of the key; 0 for a rate. */
  readonly running: number;
  /** Position in line, from 1. */
  readonly position: number;
  /** Tasks in line. */
  readonly length: number;
  /** When the rate admits its next task; null for another kind. */
  readonly nextAt: Date | null;
  /** Up to three tasks that hold a place of the key. Null in a list, and in events. */
  readonly behind: readonly string[] | null;
}

/** @param behind whether to name the tasks that hold places of the key */
export function limitWaitOf({ id, limit, running, position, length, until, behind: holders }: WaitingFor, behind: boolean): LimitWait {
  return { ...parseLimitId(id), limit, running, position, length, nextAt: until, behind: behind ? holders : null };
}

export function pauseWaitOf(queue: string, { at, by, reason }: Pause, limitWait: LimitWait | null): PauseWait {
  return { kind: 'paused', queue, since: at, by, reason, limitWait };
}

/** Returns the limit that a task waits for, behind a pause or not; null for none. */
export function limitIn(waiting: TaskWaiting | null): LimitWait | null {
  return waiting?.kind === 'paused' ? waiting.limitWait : waiting;
}

/** Replaces the limit that a task waits for. */
export function withLimitIn(waiting: TaskWaiting, limitWait: LimitWait): TaskWaiting {
  return waiting.kind === 'paused' ? { ...waiting, limitWait } : limitWait;
}

/** Formats it for the CLI and HTTP. */
export function waitingToJson(waiting: TaskWaiting): Record<string, unknown> {
  if (waiting.kind !== 'paused') return limitWaitToJson(waiting);
  const { kind, queue, since, by, reason, limitWait } = waiting;
  return { kind, queue, since: since?.toISOString() ?? null, by, reason, limit_wait: limitWait && limitWaitToJson(limitWait) };
}

function limitWaitToJson({ kind, name, key, limit, running, position, length, nextAt, behind }: LimitWait): Record<string, unknown> {
  return { kind, name, key, limit, running, position, length, next_at: nextAt?.toISOString() ?? null, behind };
}

/** A limit that applies to a task. */
export interface TaskLimit extends LimitName {
  /** Tasks of the key that may run at once; of a rate, its number of starts or tokens. As at the enqueue. */
  readonly limit: number;
  /** The period of a rate, in ms; null for another kind. */
  readonly perMs: number | null;
}

/** Returns the limits of a task by the marks in its job's options. */
export function taskLimitsOf(marks: readonly LimitMark[]): TaskLimit[] {
  return marks.map(({ id, max }) => {
    const [limit, perMs] = typeof max === 'number' ? [max, null] : max;
    return { ...parseLimitId(id), limit, perMs };
  });
}

/** Formats it for the CLI and HTTP. */
export function limitToJson({ kind, name, key, limit, perMs }: TaskLimit): Record<string, unknown> {
  return { kind, name, key, limit, per_ms: perMs };
}
