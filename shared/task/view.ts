import { ATTEMPT_FIELDS, type Attempt, attemptToJson } from '../attempt/attempt.js';
import { errorOf, withoutStacks } from '../attempt/failure.js';
import { COUNT_FIELDS, attemptsOf, readCounts } from '../attempt/history.js';
import { FleetError } from '../errors.js';
import type { Keys } from '../keys.js';
import type { Limiter } from '../limiter/limiter.js';
import { isParked } from '../limiter/parked-jobs.js';
import { LISTED, MAX_ERROR_BYTES, MAX_NAME_LENGTH, chunks, cutToBytes, shortened } from '../limits.js';
import { HashReader } from '../records/hash-reader.js';
import type { RecordReporter } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { type StopRecord, parseStop } from '../stop/receipt.js';
import { dedupeKeyOf } from './dedupe.js';
import { readOptions } from './job-options.js';
import type { Queues } from './queues.js';
import { type JobPlace, type TaskState, isTerminal, taskState } from './state.js';
import { type WaitingTask, readWaits } from './wait/read-waits.js';
import { type TaskLimit, type TaskWaiting, limitToJson, taskLimitsOf, waitingToJson } from './wait/waiting.js';

/** The public view of a task, without its input. */
export interface TaskView<Output = unknown> {
  readonly id: string;
  /** Null for a foreign task, which another program registered and runs. */
  readonly name: string | null;
  /** The task's BullMQ queue, possibly a shard. */
  readonly queue: string | null;
  readonly item: string | null;
  /** Labels for filters; empty for none. */
  readonly tags: readonly string[];
  readonly state: TaskState;
  /** The limit or the paused queue that a task waits for; null if it waits for neither. */
  readonly waitingFor: TaskWaiting | null;
  /** The current or last attempt; 0 before the first. Attempts of lost workers count. */
  readonly attempt: number;
  /** Total attempts allowed, including those of lost workers, which use up no retry; null for a foreign task. */
  readonly maxAttempts: number | null;
  /** The last 20 attempts, over all retries, oldest first; the last may be running. Null in a list, and for a foreign task. */
  readonly attempts: readonly Attempt[] | null;
  /** When the task is due, while it is delayed: before its first attempt, or before a retry. */
  readonly nextAttemptAt: Date | null;
  /** Null in a list if it is longer than 4 KiB. */
  readonly progress: unknown;
  /** The handler's result; null unless completed, and in every list. */
  readonly result: Output | null;
  /** Why the task or its last attempt failed, was cancelled, could not run, or is unreadable. In a list, the first 1,024 characters. */
  readonly error: string | null;
  /** What is unreadable in the record, and null here; null if nothing is. */
  readonly problem: string | null;
  readonly stop: StopRecord | null;
  /** The live task of the same schedule that a skipped task overlapped; null unless skipped. */
  readonly skippedFor: string | null;
  /** The key of the task's deduplication, null for none. A plain BullMQ client's deduplication id is shown whole. */
  readonly dedupeKey: string | null;
  /** 1 (first) to 2,097,151 (last); 0 comes before all of them. */
  readonly priority: number;
  /** No attempt starts after this time; null for none. */
  readonly deadline: Date | null;
  /** The limits that apply to the task. Null in a list, and for a foreign task. */
  readonly limits: readonly TaskLimit[] | null;
  readonly enqueuedAt: Date | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** The last worker. */
  readonly worker: string | null;
}

/** Returns the task without the stack traces of its attempts, for callers who may see a task but not the code that runs it. */
export function hideStacks(task: TaskView): TaskView {
  if (task.attempts === null) return task;
  return { ...task, attempts: task.attempts.map((attempt) => ({ ...attempt, error: attempt.error && withoutStacks(attempt.error) })) };
}

/** Formats a task for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function taskToJson(task: TaskView): Record<string, unknown> {
  const { stop } = task;
  return {
    id: task.id,
    name: task.name,
    queue: task.queue,
    item: task.item,
    tags: task.tags,
    state: task.state,
    waiting_for: task.waitingFor && waitingToJson(task.waitingFor),
    attempt: task.attempt,
    max_attempts: task.maxAttempts,
    attempts: task.attempts?.map(attemptToJson) ?? null,
    next_attempt_at: task.nextAttemptAt?.toISOString() ?? null,
    progress: task.progress,
    result: task.result,
    error: task.error,
    problem: task.problem,
    stop: stop && { reason: stop.reason, by: stop.by, at: stop.at?.toISOString() ?? null, via: stop.via },
    skipped_for: task.skippedFor,
    dedupe_key: task.dedupeKey,
    priority: task.priority,
    deadline: task.deadline?.toISOString() ?? null,
    limits: task.limits?.map(limitToJson) ?? null,
    worker: task.worker,
    enqueued_at: task.enqueuedAt?.toISOString() ?? null,
    started_at: task.startedAt?.toISOString() ?? null,
    finished_at: task.finishedAt?.toISOString() ?? null,
  };
}

/** The error of a wait for the result of a failed task; its cause is the error of the last attempt that failed. */
export function taskFailed({ id, attempt, attempts, error }: Pick<TaskView, 'id' | 'attempt' | 'attempts' | 'error'>): FleetError {
  const failure = attempts?.findLast((one) => one.error !== null)?.error ?? null;
  return new FleetError('TASK_FAILED', `Task ${id} failed: ${error ?? 'no reason recorded'}`, {
    ...(failure && { cause: errorOf(failure) }),
    details: { id, attempt, attempts: attempts?.length ?? attempt },
  });
}

/** The error of a wait for the result of a skipped task. */
export function taskSkipped({ id, skippedFor }: Pick<TaskView, 'id' | 'skippedFor'>): FleetError {
  const other = skippedFor === null ? 'another task of its schedule' : `task ${skippedFor} of the same schedule`;
  return new FleetError('TASK_SKIPPED', `Task ${id} was skipped: it overlapped ${other}.`, { details: { id, skippedFor } });
}

/** How much of a task is read: a `summary`, for lists, has no result, no long progress, and only the start of the error. */
export type Detail = 'summary' | 'whole';

const FIELDS = [
  'name',
  'opts',
  'timestamp',
  'progress',
  'returnvalue',
  'failedReason',
  'processedOn',
  'finishedOn',
  'stop',
  'stop_via',
  'skipped',
  'deid',
  'pb',
  ...COUNT_FIELDS,
  '@due',
  '@paused',
] as const;
/** Longest field that is read for a summary, in bytes; of a longer one, only its length. Results are never read. */
const SUMMARY: Readonly<Partial<Record<(typeof FIELDS)[number], number>>> = {
  ...{
    name: 65_536,
    opts: 65_536,
    progress: LISTED.progressBytes,
    returnvalue: 0,
    failedReason: 65_536,
    stop: 65_536,
    skipped: 1_024,
    deid: 1_024,
    pb: 1_024,
  },
};
const ALL_FIELDS: readonly string[] = [...FIELDS, ...ATTEMPT_FIELDS];
/** Tasks per script: none takes longer than a few ms. */
const READ_AT_ONCE = 100;

/** The parts of a store that reading tasks needs. */
export interface TaskSource {
  readonly redis: ScriptedRedis;
  readonly queues: Pick<Queues, 'readKeys'>;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
  /** Null: what queued tasks wait for is not read. */
  readonly limiter: Pick<Limiter, 'standings'> | null;
}

/**
 * Reads tasks of one queue, in one round trip, and another one if any of them are delayed and have limits, or if the queue is paused.
 * Returns them in the order of `ids`; null for a missing task.
 */
export async function readTasks(
  source: TaskSource,
  queue: string,
  ids: readonly string[],
  detail: Detail = 'summary',
): Promise<(TaskView | null)[]> {
  const { redis, queues, keys, unreadable } = source;
  const wanted = (
    detail === 'whole' ? ALL_FIELDS : FIELDS.map((name) => (SUMMARY[name] === undefined ? name : `${name}:${SUMMARY[name]}`))
  ).join(' ');
  const calls = chunks(ids, READ_AT_ONCE).map(async (some) => {
    const rows = await redis.readTasks(...queues.readKeys(queue), keys.jobs(queue), wanted, ...some);
    const read = rows.map((row, index) => row && viewOf(some[index] as string, queue, row, detail));
    return withWaits(source, queue, read, detail);
  });
  const tasks = (await Promise.all(calls)).flat();
  for (const task of tasks) if (task?.problem) unreadable.report({ key: keys.jobs(queue) + task.id, problem: task.problem });
  return tasks;
}

/** A view, and what its job says of its wait. */
interface ReadTask extends Omit<WaitingTask, 'id'> {
  readonly view: TaskView;
}

async function withWaits(
  source: TaskSource,
  queue: string,
  tasks: readonly (ReadTask | null)[],
  detail: Detail,
): Promise<(TaskView | null)[]> {
  const { limiter } = source;
  if (limiter === null) return tasks.map((task) => task && task.view);
  const waiting = tasks.flatMap((task) => (task?.limited || task?.ready ? [{ ...task, id: task.view.id }] : []));
  const waits = await readWaits({ ...source, limiter }, queue, waiting, detail === 'whole');
  return tasks.map((task) => {
    const wait = task && waits.get(task.view.id);
    if (!wait) return task && task.view;
    const { waitingFor, limited } = wait;
    return limited ? { ...task.view, state: 'queued', nextAttemptAt: null, waitingFor } : { ...task.view, waitingFor };
  });
}

/** Makes a view from a row of `readTasks`. Unreadable fields are null; never throws. */
function viewOf(id: string, queue: string, [place = null, ...read]: readonly (string | number | null)[], detail: Detail): ReadTask {
  const names = detail === 'whole' ? ALL_FIELDS : FIELDS;
  const lengths = new Map(names.flatMap((name, index) => (typeof read[index] === 'number' ? [[name, read[index]]] : [])));
  const values = read.map((value) => (typeof value === 'number' ? null : value));
  const fields = new HashReader(Object.fromEntries(names.map((name, index) => [name, values[index] ?? null])));
  for (const name of ['name', 'opts', 'stop', 'pb'] as const)
    if (lengths.has(name)) fields.note(`${name}: ${lengths.get(name)} bytes are too many`);
  const lost = values[names.length] ?? null;
  if (lost !== null) fields.note(lost);
  const recorded = parseStop(fields.text('stop'), fields.text('stop_via'));
  const { made, losses, run, unrun, putOff } = readCounts(fields);
  const options = readOptions(fields.text('opts'), fields);
  const skippedFor = fields.text('skipped');
  const due = place === 'delayed' ? fields.ms('@due') : null;
  const isWaiting = due !== null && isParked(due);
  const facts = {
    stopRequested: recorded !== null,
    parked: isWaiting,
    skipped: skippedFor !== null || lengths.has('skipped'),
    attemptsMade: made + losses + (putOff ? 1 : 0),
  };
  const state = lost === null ? taskState(place as JobPlace, facts) : 'unreadable';
  // Without `stop_via`, BullMQ's deferred failure ended the job, so it never ran.
  const stop = recorded && state === 'cancelled' && recorded.via === null ? { ...recorded, via: 'queue' as const } : recorded;
  const neverRan = state === 'skipped' || (state === 'cancelled' && stop?.via === 'queue');
  const attempt = Math.max(0, made + losses + (place === 'active' ? 1 : 0) - (neverRan ? 1 : 0));
  const [worker, startedAt, endedAt] = [fields.text('pb'), fields.time('processedOn'), fields.time('finishedOn')];
  const last = {
    run,
    attempt,
    ran: attempt > 0 && !neverRan && !unrun,
    place: place as JobPlace,
    stopped: stop !== null,
    worker,
    startedAt,
  };
  const view = {
    ...{ id, name: shownName(fields.text('name')), queue, item: options.item || null, tags: options.tags ?? [], state },
    ...{ waitingFor: null, attempt },
    maxAttempts: Math.max(1, options.attempts ?? 1) + losses,
    attempts: detail === 'whole' ? attemptsOf(fields, { ...last, finishedAt: endedAt, error: fields.text('failedReason') }) : null,
    nextAttemptAt: state === 'scheduled' || state === 'retrying' ? fields.time('@due') : null,
    progress: fields.json('progress'),
    result: state === 'completed' ? fields.json('returnvalue') : null,
    stop,
    skippedFor: state === 'skipped' ? skippedFor : null,
    dedupeKey: dedupeKeyOf(fields.text('name'), fields.text('deid')),
    priority: options.priority ?? 0,
    deadline: options.deadline === undefined ? null : new Date(options.deadline),
    limits: detail === 'whole' ? taskLimitsOf(options.limits ?? []) : null,
    enqueuedAt: fields.time('timestamp'),
    startedAt: attempt === 0 ? null : startedAt,
    finishedAt: isTerminal(state) ? endedAt : null,
    worker,
  };
  const { problem } = fields;
  const error =
    state === 'unreadable'
      ? problem
      : state === 'completed' || state === 'skipped'
        ? null
        : errorText(fields.text('failedReason'), lengths.get('failedReason'), detail);
  const waits = state === 'queued' || state === 'scheduled' || state === 'retrying';
  // The time of reading, if the queue is paused: BullMQ leaves a delayed job of a paused queue where it is when it is due.
  const pausedNow = fields.ms('@paused');
  return {
    view: { ...view, problem, error },
    limited: waits && (isWaiting || (due !== null && options.limits !== undefined)),
    paused: pausedNow !== null,
    ready: waits && pausedNow !== null && (due === null || isWaiting || due <= pausedNow),
  };
}

function shownName(name: string | null): string | null {
  return name === null ? null : shortened(name, MAX_NAME_LENGTH);
}

function errorText(text: string | null, length: number | undefined, detail: Detail): string | null {
  if (length !== undefined) return `(${length} bytes: too long for a list)`;
  if (text === null) return null;
  return detail === 'whole' ? cutToBytes(text, MAX_ERROR_BYTES) : shortened(text, LISTED.errorLength);
}
