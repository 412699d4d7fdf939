import { shortened } from '../limits.js';
import { isTime } from './hash-reader.js';
import type { RecordSource } from './unreadable.js';

/** A worker that died or froze while it ran a task. */
export interface WorkerLoss {
  /** When the loss was found, in ms since the epoch. */
  readonly at: number;
  /** Id of the worker; null if unknown. */
  readonly worker: string | null;
  /** The task's id, name and queue. */
  readonly task: string;
  readonly name: string;
  readonly queue: string;
}

/** A task, or all tasks of a name, that lost several workers lately. */
export interface Suspect {
  readonly name: string;
  /** The task; null for tasks of that name. */
  readonly task: string | null;
  /** Workers lost while they ran it. */
  readonly workers: number;
  /** Time of the last loss, in ms since the epoch. */
  readonly lastAt: number;
}

const KEPT_LOSSES = 1_000;
const KEPT_MS = 7 * 24 * 3_600_000;
/** How far back {@link suspectsOf} looks, in ms. */
export const SUSPICIOUS_MS = 3_600_000;
/** Workers lost within that time that make a task suspicious. */
const SUSPICIOUS_LOSSES = 2;
const MAX_LABEL = 256;
const MAX_SHOWN = 64;

/** Adds losses to the list, which keeps the latest 1,000. */
export async function writeLosses({ redis, keys }: Pick<RecordSource, 'redis' | 'keys'>, losses: readonly WorkerLoss[]): Promise<void> {
  const records = losses.map(({ at, worker, task, name, queue }) =>
    JSON.stringify({ at, worker, task: shortened(task, MAX_LABEL), name: shortened(name, MAX_LABEL), queue }),
  );
  const pipeline = redis.pipeline().lpush(keys.losses, ...records);
  const replies = await pipeline
    .ltrim(keys.losses, 0, KEPT_LOSSES - 1)
    .pexpire(keys.losses, KEPT_MS)
    .exec();
  for (const [error] of replies ?? []) if (error) throw error;
}

/** Reads the latest losses, newest first. Unreadable ones are left out. */
export async function readLosses({ redis, keys, unreadable }: RecordSource): Promise<WorkerLoss[]> {
  const records = await unreadable.read(keys.losses, 'list', redis.lrange(keys.losses, 0, KEPT_LOSSES - 1), []);
  return records.flatMap((text) => parseLoss(text) ?? []);
}

function parseLoss(text: string): WorkerLoss | null {
  try {
    const { at, worker, task, name, queue } = JSON.parse(text) as Record<string, unknown>;
    if (!isTime(at) || typeof task !== 'string' || typeof name !== 'string' || typeof queue !== 'string') return null;
    return { at: at as number, worker: typeof worker === 'string' ? worker : null, task, name, queue };
  } catch {
    return null;
  }
}

/**
 * Returns the tasks that lost two workers or more within the last hour, then the names whose tasks did so together; most losses first. A
 * name is left out if one of its tasks explains it.
 */
export function suspectsOf(losses: readonly WorkerLoss[], now: number): Suspect[] {
  const recent = losses.filter(({ at }) => now - at <= SUSPICIOUS_MS);
  const tasks = suspicious(recent, ({ name, task }) => ({ name, task }));
  const named = new Set(tasks.map(({ name }) => name));
  return [...tasks, ...suspicious(recent, ({ name }) => ({ name, task: null })).filter(({ name }) => !named.has(name))];
}

/** Most suspects that a text names. */
const MAX_NAMED = 3;

/** Names the suspects for a person; '' for none. */
export function describeSuspects(suspects: readonly Suspect[]): string {
  const named = suspects.slice(0, MAX_NAMED).map(({ name, task, workers }) => {
    const subject =
      task === null ? `tasks of ${shortened(name, MAX_SHOWN)}` : `${shortened(name, MAX_SHOWN)} ${shortened(task, MAX_SHOWN)}`;
    return `${subject} lost ${workers} workers within the last hour`;
  });
  const more = suspects.length - named.length;
  return [...named, ...(more > 0 ? [`${more} more`] : [])].join('; ');
}

function suspicious(losses: readonly WorkerLoss[], subjectOf: (loss: WorkerLoss) => Pick<Suspect, 'name' | 'task'>): Suspect[] {
  const groups = new Map<string, WorkerLoss[]>();
  for (const loss of losses) {
    const key = JSON.stringify(subjectOf(loss));
    groups.set(key, [...(groups.get(key) ?? []), loss]);
  }
  return [...groups.values()]
    .map((group) => ({
      ...subjectOf(group[0] as WorkerLoss),
      workers: new Set(group.map(({ worker, at }) => worker ?? at)).size,
      lastAt: Math.max(...group.map(({ at }) => at)),
    }))
    .filter(({ workers }) => workers >= SUSPICIOUS_LOSSES)
    .toSorted((a, b) => b.workers - a.workers);
}
