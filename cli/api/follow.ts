import { setTimeout as sleep } from 'node:timers/promises';
import { type EventSourceMessage, createParser } from 'eventsource-parser';
import type { EventOptions, TaskEvent, TaskView } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { StateChanges } from '../../shared/task/state-changes.js';
import { type TaskState, isTerminal } from '../../shared/task/state.js';
import { isPassing, notAnApi, unreachable } from './api-error.js';
import type { ApiConnection } from './connection.js';
import { type ReceiptJson, type TaskJson, receiptOfJson, taskOf } from './from-json.js';

/** An event, and with the last one the task as it ended; null if it is not kept. */
export interface Followed {
  readonly event: TaskEvent;
  readonly task: TaskView | null;
}

/** What a state event has beside its name. */
interface StateJson {
  readonly state: TaskState;
  readonly attempt: number | null;
  readonly receipt: ReceiptJson | null;
  readonly task: TaskJson | null;
}

/** The API sends something every 15 s. A connection that is silent for so long is broken, in ms. */
const SILENT_MS = 45_000;
/** For so long a connection that was lost is tried again, in ms. A dashboard that restarts is back by then. */
const GIVE_UP_MS = 60_000;
const RETRY_MS = 250;
const MAX_RETRY_MS = 2_000;

/**
 * A task's events as the producer has them: first its state now, last its terminal state. After a lost connection it goes
 * on behind the last event that came, so that each comes once. Ends without a terminal state if the task is gone by then.
 * @throws FleetError `TASK_NOT_FOUND` and whatever the API says; CliError `API_UNREACHABLE`; the signal's reason
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
        // After a retry, an id that was seen may be followed by an end that was not.
        if (event.id !== null) seen = event.id;
        const over = event.type === 'state' && isTerminal(event.state);
        if (over || changes.isNews(event)) yield followed;
        if (over) return;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (connected && isFleetError(error, 'TASK_NOT_FOUND')) return;
      if (!connected || !isPassing(error)) throw error;
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
 * Null for what is no event of a task, for a snapshot of one that is over, whose end comes as an event too, and for that of one
 * that is followed from `behind` an event on: what it said since comes next, and then its state.
 */
function read(url: string, { event, id, data }: EventSourceMessage, behind: boolean): Followed | null {
  try {
    const body = JSON.parse(data) as never;
    switch (event) {
      case 'snapshot': {
        const now = new StateChanges().ofTask(taskOf(body));
        return behind || now === null || isTerminal(now.state) ? null : { event: now, task: null };
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
    throw notAnApi(url, 'its events are of another form');
  }
}

/** The id of an end is the API's own, and no place in the task's stream. */
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
