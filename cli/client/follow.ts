import type { Enqueued as EnqueuedJson, TaskEvent as EventJson, Receipt as ReceiptJson, Task as TaskJson } from '../../client/index.js';
import type { Limit } from '../../dashboard/api/routes/limits.js';
import type { Schedule } from '../../dashboard/api/routes/schedules.js';
import type { EnqueuedTask, EventOptions, LimitView, ScheduleView, StopReceipt, TaskEvent, TaskView } from '../../producer/index.js';
import type { Attempt } from '../../shared/attempt/attempt.js';
import type { LimitWait, TaskLimit, TaskWaiting } from '../../shared/task/wait/waiting.js';
import type { ApiConnection } from './http-connection.js';

/** Converts the API's JSON of a task into a TaskView. Like the other converters here, throws if the JSON has another shape. */
export function taskOf(json: TaskJson): TaskView {
  const { id, name, queue, item, state, attempt, progress, result, error, problem, stop, skipped_for: skippedFor, worker } = json;
  return {
    // A dashboard of an older version sends none.
    tags: json.tags ?? [],
    ...{ id: textOf(id), name, queue, item, state, attempt, progress, result, error, problem, skippedFor, worker },
    dedupeKey: json.dedupe_key,
    priority: json.priority,
    deadline: dateOf(json.deadline),
    limits: json.limits?.map(taskLimitOf) ?? null,
    waitingFor: waitingOf(json.waiting_for),
    maxAttempts: json.max_attempts,
    attempts: json.attempts?.map(attemptOf) ?? null,
    nextAttemptAt: dateOf(json.next_attempt_at),
    stop: stop && { reason: stop.reason, by: stop.by, at: dateOf(stop.at), via: stop.via },
    enqueuedAt: dateOf(json.enqueued_at),
    startedAt: dateOf(json.started_at),
    finishedAt: dateOf(json.finished_at),
  };
}

function attemptOf({ number, worker, started_at, ended_at, outcome, error, retry_at }: NonNullable<TaskJson['attempts']>[number]): Attempt {
  return { number, worker, startedAt: dateOf(started_at), endedAt: dateOf(ended_at), outcome, error, retryAt: dateOf(retry_at) };
}

function waitingOf(json: TaskJson['waiting_for']): TaskWaiting | null {
  if (!json) return null;
  if (json.kind !== 'paused') return limitWaitOf(json);
  const { since, limit_wait: limit, ...pause } = json;
  return { ...pause, since: dateOf(since), limitWait: limit && limitWaitOf(limit) };
}

function limitWaitOf({ next_at: nextAt, ...wait }: Exclude<NonNullable<TaskJson['waiting_for']>, { readonly kind: 'paused' }>): LimitWait {
  return { ...wait, nextAt: dateOf(nextAt) };
}

function taskLimitOf({ per_ms: perMs, ...limit }: NonNullable<TaskJson['limits']>[number]): TaskLimit {
  return { ...limit, perMs };
}

export function receiptOfJson({ id, outcome, ended_as, via, reason, by, requested_at, settled_at, latency_ms }: ReceiptJson): StopReceipt {
  return {
    id: textOf(id),
    outcome,
    endedAs: ended_as,
    via,
    reason,
    by,
    requestedAt: dateOf(requested_at),
    settledAt: dateOf(settled_at),
    latencyMs: latency_ms,
  };
}

export function enqueuedOf({ id, name, queue, item, duplicate, superseded }: EnqueuedJson): EnqueuedTask {
  return { id: textOf(id), name, queue, item, duplicate, superseded };
}

export function scheduleOf(json: Schedule): ScheduleView {
  const { id, name, queue, item, cron, overlap, running, problem } = json;
  return {
    ...{ id: textOf(id), name, queue, item, everyMs: json.every_ms, cron, timeZone: json.time_zone, jitterMs: json.jitter_ms, overlap },
    ...{ builtIn: json.built_in, nextAt: dateOf(json.next_at), lastTask: json.last_task, running, problem },
    paused: json.paused && { ...json.paused, at: dateOf(json.paused.at) },
  };
}

export function limitOf(json: Limit): LimitView {
  const { name, key, kind, limit, burst, source, running, waiting, problem } = json;
  return {
    ...{ name, key, kind, limit, perMs: json.per_ms, burst, source, running, waiting },
    ...{ waitingSince: dateOf(json.waiting_since), nextAt: dateOf(json.next_at), problem },
  };
}

function textOf(id: unknown): string {
  if (typeof id === 'string') return id;
  throw new TypeError('expected an id');
}

export function dateOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

/** An event. With the last event, `task` is the ended task, or null if it is no longer stored. */
interface Followed {
  readonly event: TaskEvent;
  readonly task: TaskView | null;
}

/**
 * Yields a task's events as the producer does: first its history, last its terminal state. Resumes after the last event
 * when a connection is lost, so that each event comes once. Returns without a terminal state if the task is gone by then.
 * @throws FleetError `TASK_NOT_FOUND` or another error of the API; CliError `API_UNREACHABLE`; the signal's reason
 */
export function follow(
  connection: ApiConnection,
  id: string,
  { after, signal }: EventOptions = {},
): AsyncGenerator<Followed, void, undefined> {
  return connection.follow((client, options) => client.events(id, { ...options, after, signal }), followedOf);
}

function followedOf(event: EventJson): Followed {
  const at = new Date(event.at);
  switch (event.type) {
    case 'progress':
      return { event: { type: 'progress', id: event.id, at, progress: event.progress }, task: null };
    case 'chunk':
      return { event: { type: 'chunk', id: event.id, at, chunk: event.chunk }, task: null };
    case 'state':
      return stateOf(event, at);
  }
}

function stateOf({ id, state, attempt, error, receipt, task, ...json }: Extract<EventJson, { type: 'state' }>, at: Date): Followed {
  const nextAttemptAt = dateOf(json.next_attempt_at);
  const waitingFor = waitingOf(json.waiting_for);
  const event: TaskEvent = {
    ...{ type: 'state', id, at, state, attempt },
    ...(error && { error }),
    ...(nextAttemptAt && { nextAttemptAt }),
    ...(waitingFor && { waitingFor }),
    ...(receipt && { receipt: receiptOfJson(receipt) }),
    ...(json.skipped_for !== null && { skippedFor: json.skipped_for }),
  };
  return { event, task: task && taskOf(task) };
}
