import type { ChainableCommander } from 'ioredis';
import { MAX_STREAM_BYTES } from '../limits.js';
import type { StopReceipt } from '../stop/receipt.js';
import { type TaskState, TASK_STATES, isTerminal } from './state.js';

/**
 * A task's stream, `p:tasks:events:<id>`. It comes to life with the first progress or chunk, so that a task that has
 * nothing to say costs nothing; from then on changes of state are in it too. Entry: `type` (state, progress, chunk),
 * `data`, JSON, and with `running` and `retrying` the number of the `attempt`. The first words of each run are written together
 * with a `running` ahead of them. Everything else about a state may be written late, by whoever has seen it.
 */
export type TaskEvent =
  | TaskStateEvent
  | { readonly type: 'progress'; readonly id: string; readonly progress: unknown }
  | { readonly type: 'chunk'; readonly id: string; readonly chunk: unknown };

export interface TaskStateEvent {
  readonly type: 'state';
  /** Null for a state that is not in the stream: the task was seen to be so. */
  readonly id: string | null;
  readonly state: TaskState;
  /** With `running` the attempt that began, from 1; with `retrying` the one that failed. Absent if it is not known. */
  readonly attempt?: number;
  /** Only with `cancelled`, which is the last event: how the stop was settled. */
  readonly receipt?: StopReceipt;
}

/** About how many entries of a task are kept; older ones go. */
const KEPT_ENTRIES = 10_000;
/** How long a stream stays readable after the end of its task. */
const KEPT_AFTER_END_MS = 3_600_000;
/** After this time without a word, the stream of a task that never ended goes too. */
const KEPT_WHILE_LIVE_MS = 7 * 24 * 3_600_000;

export interface StreamWrite {
  readonly type: 'state' | 'progress' | 'chunk';
  /** JSON text. */
  readonly data: string;
  readonly attempt?: number;
}

/** Adds entries to a task's stream, and makes the stream if it is not there. `averageLength` is that of its chunks: of long ones fewer are kept. */
export function writeEvents(pipeline: ChainableCommander, key: string, events: readonly StreamWrite[], averageLength = 0): void {
  const kept = Math.min(KEPT_ENTRIES, Math.ceil(MAX_STREAM_BYTES / Math.max(1, averageLength)));
  for (const { type, data, attempt } of events)
    pipeline.xadd(key, 'MAXLEN', '~', kept, '*', 'type', type, 'data', data, ...attemptField(attempt));
  pipeline.pexpire(key, KEPT_WHILE_LIVE_MS);
}

/** Takes a change of state: a pipeline, or a connection. */
export interface StreamCommands {
  xadd(key: string, ...words: (string | number)[]): unknown;
  pexpire(key: string, ms: number): unknown;
}

/** Adds a change of state to a task's stream, if the task has one. Returns what the commands returned. */
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
 * Says that a task was cancelled whose job is about to be removed, and makes the stream if it is not there: of a job that is
 * gone, its queue's events do not tell a stop from a failure. Returns what the commands returned.
 */
export function writeRemoval(commands: StreamCommands, key: string): unknown[] {
  return [
    commands.xadd(key, 'MAXLEN', '~', KEPT_ENTRIES, '*', 'type', 'state', 'data', JSON.stringify('cancelled')),
    expireEnded(commands, key),
  ];
}

/** For a task that is to run again: adds `queued` to its stream, if it has one, which then stays as that of a live task. */
export function writeRetry(commands: StreamCommands, key: string): unknown[] {
  return [...writeState(commands, key, 'queued'), commands.pexpire(key, KEPT_WHILE_LIVE_MS)];
}

/** Lets the stream of a task that is over go in its time. */
export function expireEnded(commands: Pick<StreamCommands, 'pexpire'>, key: string): unknown {
  return commands.pexpire(key, KEPT_AFTER_END_MS);
}

function attemptField(attempt: number | undefined): (string | number)[] {
  return attempt === undefined ? [] : ['attempt', attempt];
}

/** Reads an entry; null for one that is not of ours. */
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
