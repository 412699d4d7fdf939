import type { ChainableCommander, Redis } from 'ioredis';
import { type TaskEvent, timeOfEntry } from '../events/event.js';
import { MAX_STREAM_BYTES } from '../limits.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { TASK_STATES, type TaskState, isTerminal } from './state.js';

/** Approximate number of entries kept per task. */
const KEPT_ENTRIES = 10_000;
/** How long a stream is kept after the end of its task. */
const KEPT_AFTER_END_MS = 3_600_000;
/** How long the stream of a live task is kept without new entries. */
const KEPT_WHILE_LIVE_MS = 7 * 24 * 3_600_000;

/**
 * An entry of a task's stream, `p:tasks:events:<id>`. The first progress or chunk creates the stream, so that tasks without output
 * cost nothing; later state changes are added to it. An entry has `type` (state, progress, chunk), `data` as JSON, and for `running`
 * and `retrying` the number of the `attempt`. The first output of each run is written together with a preceding `running`; all other
 * state changes may be late.
 */
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

/** Adds a state of tasks to their streams, where these exist, in one command. */
export function writeStates(redis: ScriptedRedis, start: string, state: TaskState, ids: readonly string[]): Promise<number> {
  return redis.writeStates(start, JSON.stringify(state), KEPT_ENTRIES, isTerminal(state) ? KEPT_AFTER_END_MS : '', ...ids);
}

/**
 * Adds the final state of a job that is about to be removed, creating the stream if necessary: once the job is gone, the queue's events
 * alone do not tell a stop from a failure, nor a skipped task from a completed one. Returns the results of the commands.
 */
export function writeRemoval(commands: StreamCommands, key: string, state: 'cancelled' | 'skipped'): unknown[] {
  return [commands.xadd(key, 'MAXLEN', '~', KEPT_ENTRIES, '*', 'type', 'state', 'data', JSON.stringify(state)), expireEnded(commands, key)];
}

/** Returns the last state in the stream of a task that is no longer stored; null if the stream is missing or ends with output. */
export async function readLastState(redis: Pick<Redis, 'xrevrange'>, key: string): Promise<TaskState | null> {
  const [last] = await redis.xrevrange(key, '+', '-', 'COUNT', 1);
  const event = last ? parseEvent(...last) : null;
  return event?.type === 'state' ? event.state : null;
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
  const at = timeOfEntry(id);
  switch (entry['type']) {
    case 'chunk':
      return { type: 'chunk', id, at, chunk: data };
    case 'progress':
      return { type: 'progress', id, at, progress: data };
    case 'state': {
      const state = TASK_STATES.find((known) => known === data);
      const attempt = Number(entry['attempt']);
      return state === undefined ? null : { type: 'state', id, at, state, attempt: Number.isSafeInteger(attempt) ? attempt : null };
    }
    default:
      return null;
  }
}
