import { setTimeout as sleep } from 'node:timers/promises';
import { type EventSourceMessage, createParser } from 'eventsource-parser';
import type { z } from 'zod';
import type { Schedule } from '../../dashboard/api/routes/schedules.js';
import type { enqueued, receipt, task } from '../../dashboard/api/schemas/task.js';
import type { EnqueuedTask, EventOptions, ScheduleView, StopReceipt, TaskEvent, TaskView } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { StateChanges } from '../../shared/task/event-stream.js';
import { type TaskState, isTerminal } from '../../shared/task/state.js';
import { type ApiConnection, isTransient, notAnApi, unreachable } from './http-connection.js';

export type TaskJson = z.output<typeof task>;
export type ReceiptJson = z.output<typeof receipt>;
type EnqueuedJson = z.output<typeof enqueued>;

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

/** An event. With the last event, `task` is the ended task, or null if it is no longer stored. */
interface Followed {
  readonly event: TaskEvent;
  readonly task: TaskView | null;
}

/** The data of a state event. */
interface StateJson {
  readonly state: TaskState;
  readonly attempt: number | null;
  readonly receipt: ReceiptJson | null;
  readonly task: TaskJson | null;
}

/** A connection that is silent for this long, in ms, is broken: the API sends something every 15 s. */
const SILENT_MS = 45_000;
/** How long to retry a lost connection, in ms: long enough for a dashboard to restart. */
const GIVE_UP_MS = 60_000;
const RETRY_MS = 250;
const MAX_RETRY_MS = 2_000;

/**
 * Yields a task's events as the producer does: first its current state, last its terminal state. Resumes after the last event
 * when a connection is lost, so that each event comes once. Returns without a terminal state if the task is gone by then.
 * @throws FleetError `TASK_NOT_FOUND` or another error of the API; CliError `API_UNREACHABLE`; the signal's reason
 */
export async function* follow(
  connection: ApiConnection,
  id: string,
  { after, signal }: EventOptions = {},
): AsyncGenerator<Followed, void, undefined> {
  let seen = after ?? null;
  const changes = new StateChanges();
  let connected = false;
  let lostAt = 0;
  for (let delay = RETRY_MS; ; delay = Math.min(delay * 2, MAX_RETRY_MS)) {
    try {
      for await (const message of messages(connection, id, seen, signal)) {
        connected = true;
        lostAt = 0;
        delay = RETRY_MS;
        const followed = read(connection.url, message, seen !== null);
        if (followed === null) continue;
        const { event } = followed;
        // Terminal events have no id: after a retry, an end may follow a known id.
        if (event.id !== null) seen = event.id;
        const over = event.type === 'state' && isTerminal(event.state);
        if (over || changes.isNews(event)) yield followed;
        if (over) return;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (connected && isFleetError(error, 'TASK_NOT_FOUND')) return;
      if (!connected || !isTransient(error)) throw error;
      if (lostAt !== 0 && performance.now() - lostAt > GIVE_UP_MS) throw error;
    }
    if (lostAt === 0) lostAt = performance.now();
    await sleep(delay, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
  }
}

async function* messages(
  connection: ApiConnection,
  id: string,
  seen: string | null,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventSourceMessage, void, undefined> {
  const leave = new AbortController();
  const silent = setTimeout(() => leave.abort(new DOMException('The connection is silent.', 'TimeoutError')), SILENT_MS);
  try {
    const headers: Record<string, string> = seen === null ? {} : { 'Last-Event-ID': seen };
    const stream = await connection.open(`/tasks/${encodeURIComponent(id)}/events`, { headers, signal }, leave.signal);
    if (stream === null) return;
    const arrived: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (message) => void arrived.push(message) });
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      silent.refresh();
      parser.feed(decoder.decode(bytes, { stream: true }));
      yield* arrived.splice(0);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof Error && 'code' in error && typeof error.code === 'string'
      ? error
      : unreachable(connection.url, error, SILENT_MS);
  } finally {
    clearTimeout(silent);
    leave.abort();
  }
}

/**
 * Parses a message. Returns null for messages that are not task events, and for redundant snapshots: of an ended task, whose end
 * follows as an event, and of a resumed stream (`resumed`), where the missed events and then the state follow.
 */
function read(url: string, { event, id, data }: EventSourceMessage, resumed: boolean): Followed | null {
  try {
    const body = JSON.parse(data) as never;
    switch (event) {
      case 'snapshot': {
        const now = new StateChanges().ofTask(taskOf(body));
        return resumed || now === null || isTerminal(now.state) ? null : { event: now, task: null };
      }
      case 'progress':
        return { event: { type: 'progress', id: id as string, progress: (body as { progress: unknown }).progress }, task: null };
      case 'chunk':
        return { event: { type: 'chunk', id: id as string, chunk: (body as { chunk: unknown }).chunk }, task: null };
      case 'state':
        return readState(body, id ?? null);
      default:
        return null;
    }
  } catch {
    throw notAnApi(url, 'its events have an unexpected format');
  }
}

/** Drops the id of a terminal event: the API made it up, and it is not a position in the task's stream. */
function readState({ state, attempt, receipt, task }: StateJson, id: string | null): Followed {
  const event: TaskEvent = {
    type: 'state',
    id: isTerminal(state) ? null : id,
    state,
    ...(attempt !== null && { attempt }),
    ...(receipt && { receipt: receiptOfJson(receipt) }),
  };
  return { event, task: task && taskOf(task) };
}
