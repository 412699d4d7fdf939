import { ATTEMPT_FIELDS } from '../attempt/attempt.js';
import { COUNT_FIELDS, attemptsOf, readCounts } from '../attempt/history.js';
import type { Keys } from '../keys.js';
import type { Limiter } from '../limiter/limiter.js';
import { isParked } from '../limiter/parked-jobs.js';
import { LISTED, MAX_ERROR_BYTES, MAX_NAME_LENGTH, chunks, cutToBytes, shortened } from '../limits.js';
import { HashReader } from '../records/hash-reader.js';
import type { RecordReporter } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { parseStop } from '../stop/receipt.js';
import { dedupeKeyOf } from './dedupe.js';
import { readOptions } from './job-options.js';
import type { Queues } from './queues.js';
import { type JobPlace, isTerminal, taskState } from './state.js';
import type { TaskView } from './view.js';
import { type WaitingTask, readWaits } from './wait/read-waits.js';
import { taskLimitsOf } from './wait/waiting.js';

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
/** Where each field is in a row, behind the task's place. */
const COLUMNS: Readonly<Record<Detail, ReadonlyMap<string, number>>> = { whole: columnsOf(ALL_FIELDS), summary: columnsOf(FIELDS) };
/** Fields that are too long only if something else wrote them. */
const CHECKED = ['name', 'opts', 'stop', 'pb'] as const;

function columnsOf(names: readonly string[]): ReadonlyMap<string, number> {
  return new Map(names.map((name, index) => [name, index + 1]));
}

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
function viewOf(id: string, queue: string, row: readonly (string | number | null)[], detail: Detail): ReadTask {
  const columns = COLUMNS[detail];
  const place = row[0] ?? null;
  const valueOf = (name: string): string | number | null => row[columns.get(name) as number] ?? null;
  // In place of a field that is too long, there is its length.
  const lengthOf = (name: string): number | null => numberOrNull(valueOf(name));
  const fields = new HashReader((name) => textOrNull(valueOf(name)));
  for (const name of CHECKED) if (lengthOf(name) !== null) fields.note(`${name}: ${lengthOf(name)} bytes are too many`);
  const lost = textOrNull(row[columns.size + 1]);
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
    skipped: skippedFor !== null || lengthOf('skipped') !== null,
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
  const view: TaskView = {
    id,
    name: shownName(fields.text('name')),
    queue,
    item: options.item || null,
    tags: options.tags ?? [],
    state,
    waitingFor: null,
    attempt,
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
    error: errorOfState(),
    problem: fields.problem,
  };
  const waits = state === 'queued' || state === 'scheduled' || state === 'retrying';
  // The time of reading, if the queue is paused: BullMQ leaves a delayed job of a paused queue where it is when it is due.
  const pausedNow = fields.ms('@paused');
  return {
    view,
    limited: waits && (isWaiting || (due !== null && options.limits !== undefined)),
    paused: pausedNow !== null,
    ready: waits && pausedNow !== null && (due === null || isWaiting || due <= pausedNow),
  };

  function errorOfState(): string | null {
    if (state === 'unreadable') return fields.problem;
    if (state === 'completed' || state === 'skipped') return null;
    return errorText(fields.text('failedReason'), lengthOf('failedReason'), detail);
  }
}

function textOrNull(value: string | number | null | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOrNull(value: string | number | null): number | null {
  return typeof value === 'number' ? value : null;
}

function shownName(name: string | null): string | null {
  return name === null ? null : shortened(name, MAX_NAME_LENGTH);
}

function errorText(text: string | null, length: number | null, detail: Detail): string | null {
  if (length !== null) return `(${length} bytes: too long for a list)`;
  if (text === null) return null;
  return detail === 'whole' ? cutToBytes(text, MAX_ERROR_BYTES) : shortened(text, LISTED.errorLength);
}
