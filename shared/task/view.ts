import type { Keys } from '../keys.js';
import { LISTED, MAX_ERROR_BYTES, MAX_NAME_LENGTH, chunks, cutToBytes, shortened } from '../limits.js';
import { HashReader } from '../records/hash-reader.js';
import type { RecordReporter } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { type StopRecord, parseStop } from '../stop/receipt.js';
import { readOptions } from './job-options.js';
import type { Queues } from './queues.js';
import { type JobPlace, type TaskState, isTerminal, taskState } from './state.js';

/** The public view of a task, without its input. */
export interface TaskView<Output = unknown> {
  readonly id: string;
  /** Null for a foreign task, which another program registered and runs. */
  readonly name: string | null;
  /** The task's BullMQ queue, possibly a shard. */
  readonly queue: string | null;
  readonly item: string | null;
  readonly state: TaskState;
  /** The current or last attempt; 0 before the first. */
  readonly attempt: number;
  /** Total attempts allowed; null for a foreign task. */
  readonly attempts: number | null;
  /** Null in a list if it is longer than 4 KiB. */
  readonly progress: unknown;
  /** The handler's result; null unless completed, and in every list. */
  readonly result: Output | null;
  /** Why the task or its last attempt failed, was cancelled, could not run, or is unreadable. In a list, the first 1,024 characters. */
  readonly error: string | null;
  /** What is unreadable in the record, and null here; null if nothing is. */
  readonly problem: string | null;
  readonly stop: StopRecord | null;
  readonly enqueuedAt: Date | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** The last worker. */
  readonly worker: string | null;
}

/** Formats a task for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
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
    problem: task.problem,
    stop: stop && { reason: stop.reason, by: stop.by, at: stop.at?.toISOString() ?? null, via: stop.via },
    worker: task.worker,
    enqueued_at: task.enqueuedAt?.toISOString() ?? null,
    started_at: task.startedAt?.toISOString() ?? null,
    finished_at: task.finishedAt?.toISOString() ?? null,
  };
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
  'atm',
  'processedOn',
  'finishedOn',
  'stop',
  'stop_via',
  'pb',
] as const;
/** Longest field that is read for a summary, in bytes; of a longer one, only its length. Results are never read. */
const SUMMARY: Readonly<Partial<Record<(typeof FIELDS)[number], number>>> = {
  ...{ name: 65_536, opts: 65_536, progress: LISTED.progressBytes, returnvalue: 0, failedReason: 65_536, stop: 65_536, pb: 1_024 },
};
const READ_AT_ONCE = 500;

/** The parts of a store that reading tasks needs. */
export interface TaskSource {
  readonly redis: ScriptedRedis;
  readonly queues: Pick<Queues, 'readKeys'>;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
}

/** Reads tasks of one queue, in one round trip per 500. Returns them in the order of `ids`; null for a missing task. */
export async function readTasks(
  { redis, queues, keys, unreadable }: TaskSource,
  queue: string,
  ids: readonly string[],
  detail: Detail = 'summary',
): Promise<(TaskView | null)[]> {
  const wanted = FIELDS.map((name) => (detail === 'whole' || SUMMARY[name] === undefined ? name : `${name}:${SUMMARY[name]}`)).join(' ');
  const calls = chunks(ids, READ_AT_ONCE).map(async (some) => {
    const rows = await redis.readTasks(...queues.readKeys(queue), keys.jobs(queue), wanted, ...some);
    return rows.map((row, index) => row && viewOf(some[index] as string, queue, row, detail));
  });
  const tasks = (await Promise.all(calls)).flat();
  for (const task of tasks) if (task?.problem) unreadable.report({ key: keys.jobs(queue) + task.id, problem: task.problem });
  return tasks;
}

/** Makes a view from a row of `readTasks`. Unreadable fields are null; never throws. */
function viewOf(id: string, queue: string, [place = null, ...read]: readonly (string | number | null)[], detail: Detail): TaskView {
  const lengths = new Map(FIELDS.flatMap((name, index) => (typeof read[index] === 'number' ? [[name, read[index]]] : [])));
  const values = read.map((value) => (typeof value === 'number' ? null : value));
  const fields = new HashReader(Object.fromEntries(FIELDS.map((name, index) => [name, values[index] ?? null])));
  for (const name of ['name', 'opts', 'stop', 'pb'] as const)
    if (lengths.has(name)) fields.note(`${name}: ${lengths.get(name)} bytes are too many`);
  const lost = values[FIELDS.length] ?? null;
  if (lost !== null) fields.note(lost);
  const recorded = parseStop(fields.text('stop'), fields.text('stop_via'));
  const made = fields.whole('atm') ?? 0;
  const options = readOptions(fields.text('opts'), fields);
  const state = lost === null ? taskState(place as JobPlace, recorded !== null, made) : 'unreadable';
  // Without `stop_via`, BullMQ's deferred failure ended the job, so it never ran.
  const stop = recorded && state === 'cancelled' && recorded.via === null ? { ...recorded, via: 'queue' as const } : recorded;
  const neverRan = state === 'cancelled' && stop?.via === 'queue';
  const attempt = Math.max(0, made + (place === 'active' ? 1 : 0) - (neverRan ? 1 : 0));
  const view = {
    ...{
      id,
      name: shownName(fields.text('name')),
      queue,
      item: options.item || null,
      state,
      attempt,
      attempts: Math.max(1, options.attempts ?? 1),
    },
    progress: fields.json('progress'),
    result: state === 'completed' ? fields.json('returnvalue') : null,
    stop,
    enqueuedAt: fields.time('timestamp'),
    startedAt: attempt === 0 ? null : fields.time('processedOn'),
    finishedAt: isTerminal(state) ? fields.time('finishedOn') : null,
    worker: fields.text('pb'),
  };
  const { problem } = fields;
  const error =
    state === 'unreadable'
      ? problem
      : state === 'completed'
        ? null
        : errorOf(fields.text('failedReason'), lengths.get('failedReason'), detail);
  return { ...view, problem, error };
}

function shownName(name: string | null): string | null {
  return name === null ? null : shortened(name, MAX_NAME_LENGTH);
}

function errorOf(text: string | null, length: number | undefined, detail: Detail): string | null {
  if (length !== undefined) return `(${length} bytes: too long for a list)`;
  if (text === null) return null;
  return detail === 'whole' ? cutToBytes(text, MAX_ERROR_BYTES) : shortened(text, LISTED.errorLength);
}
