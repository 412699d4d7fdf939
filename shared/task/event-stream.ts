import type { ChainableCommander } from 'ioredis';
import { MAX_STREAM_BYTES } from '../limits.js';
import type { StopReceipt } from '../stop/receipt.js';
import { TASK_STATES, type TaskState, isTerminal } from './state.js';
import type { TaskView } from './view.js';

/**
 * An event of a task's stream, `p:tasks:events:<id>`. The first progress or chunk creates the stream, so that tasks without output
 * cost nothing; later state changes are added to it. An entry has `type` (state, progress, chunk), `data` as JSON, and for `running`
 * and `retrying` the number of the `attempt`. The first output of each run is written together with a preceding `running`; all other
 * state changes may be late.
 */
export type TaskEvent =
  | TaskStateEvent
  | { readonly type: 'progress'; readonly id: string; readonly progress: unknown }
  | { readonly type: 'chunk'; readonly id: string; readonly chunk: unknown };

export interface TaskStateEvent {
  readonly type: 'state';
  /** Null for a state that was read from the task instead of the stream. */
  readonly id: string | null;
  readonly state: TaskState;
  /** For `running` the attempt that began, from 1; for `retrying` the failed one. Absent if unknown. */
  readonly attempt?: number;
  /** How the stop was settled; only for `cancelled`, which is the last event. */
  readonly receipt?: StopReceipt;
}

/** Approximate number of entries kept per task. */
const KEPT_ENTRIES = 10_000;
/** How long a stream is kept after the end of its task. */
const KEPT_AFTER_END_MS = 3_600_000;
/** How long the stream of a live task is kept without new entries. */
const KEPT_WHILE_LIVE_MS = 7 * 24 * 3_600_000;

export interface StreamWrite {
  readonly type: 'state' | 'progress' | 'chunk';
  /** JSON text. */
  readonly data: string;
  readonly attempt?: number;
}

/** Adds entries to a task's stream, creating it if necessary. The longer the chunks on average, the fewer are kept. */
export function writeEvents(pipeline: ChainableCommander, key: string, events: readonly StreamWrite[], averageLength = 0): void {
  const kept = Math.min(KEPT_ENTRIES, Math.ceil(MAX_STREAM_BYTES / Math.max(1, averageLength)));
  for (const { type, data, attempt } of events)
    pipeline.xadd(key, 'MAXLEN', '~', kept, '*', 'type', type, 'data', data, ...attemptField(attempt));
  pipeline.pexpire(key, KEPT_WHILE_LIVE_MS);
}

/** A pipeline or a connection. */
interface StreamCommands {
  xadd(key: string, ...words: (string | number)[]): unknown;
  pexpire(key: string, ms: number): unknown;
}

/** Adds a state change to a task's stream, if that exists. Returns the results of the commands. */
export function writeState(commands: StreamCommands, key: string, state: TaskState, attempt?: number): unknown[] {
  const added = commands.xadd(
    key,
    'NOMKSTREAM',
    'MAXLEN',
    '~',
    KEPT_ENTRIES,
    '*',
    'type',
    'state',
    'data',
    JSON.stringify(state),
    ...attemptField(attempt),
  );
  return isTerminal(state) ? [added, expireEnded(commands, key)] : [added];
}

/**
 * Adds `cancelled` for a job that is about to be removed, creating the stream if necessary: the queue's events alone do not tell a stop
 * from a failure once the job is gone. Returns the results of the commands.
 */
export function writeRemoval(commands: StreamCommands, key: string): unknown[] {
  return [
    commands.xadd(key, 'MAXLEN', '~', KEPT_ENTRIES, '*', 'type', 'state', 'data', JSON.stringify('cancelled')),
    expireEnded(commands, key),
  ];
}

/** Adds `queued` to the stream of a retried task, if that exists, and keeps it as for a live task. */
export function writeRetry(commands: StreamCommands, key: string): unknown[] {
  return [...writeState(commands, key, 'queued'), commands.pexpire(key, KEPT_WHILE_LIVE_MS)];
}

/** Sets the expiry of an ended task's stream. */
export function expireEnded(commands: Pick<StreamCommands, 'pexpire'>, key: string): unknown {
  return commands.pexpire(key, KEPT_AFTER_END_MS);
}

function attemptField(attempt: number | undefined): (string | number)[] {
  return attempt === undefined ? [] : ['attempt', attempt];
}

/** Parses an entry; null for a foreign one. */
export function parseEvent(id: string, fields: readonly string[]): TaskEvent | null {
  const entry: Record<string, string | undefined> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) entry[fields[i] as string] = fields[i + 1];
  let data: unknown;
  try {
    data = JSON.parse(entry['data'] ?? '');
  } catch {
    return null;
  }
  switch (entry['type']) {
    case 'chunk':
      return { type: 'chunk', id, chunk: data };
    case 'progress':
      return { type: 'progress', id, progress: data };
    case 'state': {
      const state = TASK_STATES.find((known) => known === data);
      const attempt = Number(entry['attempt']);
      return state === undefined ? null : { type: 'state', id, state, ...(Number.isSafeInteger(attempt) && { attempt }) };
    }
    default:
      return null;
  }
}

/**
 * Filters the state changes shown to a follower of a task, from two sources: the task's stream, and reads of the task, for changes
 * without output. Some events are late: the worker of a failed attempt writes `retrying` when the next attempt may already run
 * elsewhere. An attempt's `running` is never late, since it is written with the attempt's first output. So each attempt is seen to
 * begin before its output, and late events of earlier attempts are dropped.
 */
export class StateChanges {
  #state: TaskState | null = null;
  /** Number of the last attempt seen to begin; null if unknown. */
  #attempt: number | null = null;
  /** Whether there was output since the last state change. */
  #hadOutput = false;

  /** Takes the next event and returns whether to show it. A final state never is: it may be that of an earlier run. */
  isNews(event: TaskEvent): boolean {
    if (event.type !== 'state') {
      this.#hadOutput = true;
      return true;
    }
    const attempt = attemptOf(event);
    if (isTerminal(event.state)) return false;
    if (event.state === 'retrying' && this.#compare(attempt) < 0) return false;
    // In the stream, `running` after output is a new run, even of the same attempt: the worker died, or requeued the task.
    const isNewRun = event.id !== null && event.state === 'running' && this.#hadOutput;
    if (this.knows(event) && !isNewRun) return false;
    this.#note(event.state, attempt);
    return true;
  }

  /** Whether this state was already shown. */
  knows(now: TaskView | TaskStateEvent): boolean {
    return now.state === this.#state && this.#compare(attemptOf(now)) === 0;
  }

  /** Returns the event for the state of a task that was read; null if it was already shown. */
  ofTask(task: TaskView): TaskStateEvent | null {
    if (this.knows(task)) return null;
    const attempt = attemptOf(task);
    this.#note(task.state, attempt);
    return { type: 'state', id: null, state: task.state, ...(attempt !== null && { attempt }) };
  }

  /** Negative for an attempt before the known one; 0 for the same, or if either is unknown. */
  #compare(attempt: number | null): number {
    return attempt === null || this.#attempt === null ? 0 : attempt - this.#attempt;
  }

  #note(state: TaskState, attempt: number | null): void {
    this.#state = state;
    // The attempts of a retried task count from 1 again.
    if (attempt !== null || state === 'queued' || state === 'running') this.#attempt = attempt;
    this.#hadOutput = false;
  }
}

function attemptOf({ state, attempt = null }: { readonly state: TaskState; readonly attempt?: number | null }): number | null {
  return state === 'running' || state === 'retrying' ? attempt : null;
}
