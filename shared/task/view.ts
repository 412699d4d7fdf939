import { chunks } from '../chunks.js';
import type { Keys } from '../keys.js';
import type { ScheduleMark } from '../schedule/schedule.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { type StopRecord, parseStop } from '../stop/record.js';
import type { Queues } from './queues.js';
import { type JobPlace, type TaskState, isTerminal, taskState } from './state.js';

/** A task as anybody may see it: without its input. */
export interface TaskView<Output = unknown> {
  readonly id: string;
  /** Null for a foreign task: one that another program registered and runs. */
  readonly name: string | null;
  /** The BullMQ queue that it is on: if its definition has shards, one of them. */
  readonly queue: string | null;
  readonly item: string | null;
  readonly state: TaskState;
  /** The attempt that runs or ran last; 0 before the first. */
  readonly attempt: number;
  /** How many attempts it may have in all; null for a foreign task. */
  readonly attempts: number | null;
  readonly progress: unknown;
  /** What the handler returned; null unless completed. */
  readonly result: Output | null;
  /** Why the task failed or was cancelled, why its last attempt failed, or why no worker here could run it. */
  readonly error: string | null;
  readonly stop: StopRecord | null;
  readonly enqueuedAt: Date | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** The worker that ran it last. */
  readonly worker: string | null;
}

/** A task as JSON for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function taskToJson(task: TaskView): Record<string, unknown> {
  const { stop } = task;
  return {
    id: task.id,
    name: task.name,
    queue: task.queue,
    item: task.item,
    state: task.state,
    attempt: task.attempt,
    attempts: task.attempts,
    progress: task.progress,
    result: task.result,
    error: task.error,
    stop: stop && { reason: stop.reason, by: stop.by, at: stop.at.toISOString(), via: stop.via },
    worker: task.worker,
    enqueued_at: task.enqueuedAt?.toISOString() ?? null,
    started_at: task.startedAt?.toISOString() ?? null,
    finished_at: task.finishedAt?.toISOString() ?? null,
  };
}

/** Our part of a job's options, which BullMQ keeps as they are: `''` for no item. Absent on jobs that others added. */
export interface TaskJobOptions {
  readonly item?: string;
  /** Tells two enqueues of one id apart: the one whose nonce was stored made the task. */
  readonly nonce?: string;
  /** The task whose handler enqueued this one. */
  readonly childOf?: JobAddress;
  /** No attempt starts after this time, in ms since the epoch. */
  readonly deadline?: number;
  /** When it was last brought back after its end, in ms since the epoch: since when it waits. */
  readonly retriedAt?: number;
  /** On what a schedule adds, or was asked to run now. */
  readonly schedule?: ScheduleMark;
}

/** Where a job is. */
export interface JobAddress {
  readonly queue: string;
  readonly id: string;
}

const FIELDS = ['name', 'opts', 'timestamp', 'progress', 'returnvalue', 'failedReason', 'atm', 'processedOn', 'finishedOn', 'stop', 'stop_via', 'pb'] as const;
const READ_AT_ONCE = 500;

/** Reads tasks of one queue, in one round trip for each 500. The result has the order of `ids`; null where there is none. */
export async function readTasks(redis: ScriptedRedis, queues: Queues, keys: Keys, queue: string, ids: readonly string[]): Promise<(TaskView | null)[]> {
  const calls = chunks(ids, READ_AT_ONCE).map(async (some) => {
    const rows = await redis.readTasks(...queues.readKeys(queue), keys.jobs(queue), FIELDS.join(' '), ...some);
    return rows.map((row, index) => row && viewOf(some[index] as string, queue, row));
  });
  return (await Promise.all(calls)).flat();
}

function viewOf(id: string, queue: string, [place, ...values]: (string | null)[]): TaskView {
  const field = Object.fromEntries(FIELDS.map((name, index) => [name, values[index] ?? null])) as Record<(typeof FIELDS)[number], string | null>;
  const recorded = parseStop(field.stop, field.stop_via);
  const made = Number(field.atm ?? 0);
  const options = parseOptions(field.opts) as TaskJobOptions & { readonly attempts?: number };
  const state = taskState(place as JobPlace, recorded !== null, made);
  // A job that failed by BullMQ's deferred failure, without our worker's word on it, never ran.
  const stop = recorded && state === 'cancelled' && recorded.via === null ? { ...recorded, via: 'queue' as const } : recorded;
  const neverRan = state === 'cancelled' && stop?.via === 'queue';
  const attempt = made + (place === 'active' ? 1 : 0) - (neverRan ? 1 : 0);
  return {
    id,
    name: field.name,
    queue,
    item: options.item || null,
    state,
    attempt,
    attempts: Math.max(1, options.attempts ?? 1),
    progress: parseJson(field.progress),
    result: state === 'completed' ? parseJson(field.returnvalue) : null,
    error: state === 'completed' ? null : field.failedReason,
    stop,
    enqueuedAt: parseDate(field.timestamp),
    startedAt: attempt === 0 ? null : parseDate(field.processedOn),
    finishedAt: isTerminal(state) ? parseDate(field.finishedOn) : null,
    worker: field.pb,
  };
}

export function parseOptions(text: string | null): TaskJobOptions {
  const options = parseJson(text);
  return typeof options === 'object' && options !== null ? options : {};
}

function parseJson(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function parseDate(ms: string | null): Date | null {
  return ms === null || ms === '' ? null : new Date(Number(ms));
}
