import type { z } from 'zod';
import type { Schedule } from '../../dashboard/api/routes/schedules.js';
import type { enqueued, receipt, task } from '../../dashboard/api/schemas/task.js';
import type { EnqueuedTask, ScheduleView, StopReceipt, TaskView } from '../../producer/index.js';

export type TaskJson = z.output<typeof task>;
export type ReceiptJson = z.output<typeof receipt>;
export type EnqueuedJson = z.output<typeof enqueued>;

/** Converts the API's JSON of a task into a TaskView. Like the other converters here, throws if the JSON has another shape. */
export function taskOf(json: TaskJson): TaskView {
  const { id, name, queue, item, state, attempt, attempts, progress, result, error, problem, stop, worker } = json;
  return {
    ...{ id: textOf(id), name, queue, item, state, attempt, attempts, progress, result, error, problem, worker },
    stop: stop && { reason: stop.reason, by: stop.by, at: dateOf(stop.at), via: stop.via },
    enqueuedAt: dateOf(json.enqueued_at),
    startedAt: dateOf(json.started_at),
    finishedAt: dateOf(json.finished_at),
  };
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
  };
}

function textOf(id: unknown): string {
  if (typeof id === 'string') return id;
  throw new TypeError('expected an id');
}

function dateOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}
