import type { RecordSource } from '../records/unreadable.js';
import type { DefinitionSummary } from './definitions.js';
import { type WorkerDrain, readDrains } from './drains.js';
import { type WorkerRecord, readWorkers } from './heartbeats.js';
import { type LastRecord, readLastRecords } from './last-records.js';
import { type DefinitionDifference, readDefinition, readDifferences } from './published-definitions.js';

/** A worker, from its last heartbeat. A missing or unreadable field is null. */
export interface WorkerView extends Omit<WorkerRecord, 'definitions' | 'startedAt' | 'beatAt'> {
  /** Who asked that it stops fetching, when and why; null if nobody did. */
  readonly drained: { readonly by: string | null; readonly at: Date | null; readonly reason: string | null } | null;
  /** Number of its definitions. */
  readonly definitions: number | null;
  /** Names of its definitions that another worker, or a producer, has otherwise. */
  readonly definitionsDiffer: readonly string[];
  readonly startedAt: Date | null;
  /** Time of the last heartbeat. */
  readonly beatAt: Date | null;
  /** Of a dead worker: its last error, or how it ended; null for a live one. */
  readonly lastWords: string | null;
}

/** A worker with its definitions. */
export interface WorkerDetail extends WorkerView {
  /** Sorted by name; each with its options if they are known. */
  readonly allDefinitions: readonly { readonly name: string; readonly digest: string; readonly options: DefinitionSummary | null }[];
}

/** All workers, and the definitions that differ among them. */
export interface WorkerList {
  /** Live workers sorted by host, then dead ones, the latest first. */
  readonly workers: readonly WorkerView[];
  readonly differences: readonly DefinitionDifference[];
}

/** Reads the live workers, and the records of those that died within a week. */
export async function readWorkerList(source: RecordSource): Promise<WorkerList> {
  const records = await readWorkers(source);
  const live = records.filter(({ alive }) => alive);
  const [drains, last, differences] = await Promise.all([
    readDrains(source),
    readLastRecords(source, new Set(live.map(({ id }) => id))),
    readDifferences(
      source,
      live.filter(({ draining }) => draining !== true),
    ),
  ]);
  const differing = differingNames(differences);
  const lastIds = new Set(last.map(({ worker }) => worker.id));
  // A worker of an older version leaves no record when it dies.
  const silent = records.filter(({ id, alive }) => !alive && !lastIds.has(id)).map((worker) => ({ worker, words: null }));
  return {
    workers: [
      ...live
        .toSorted((a, b) => (sortKeyOf(a) < sortKeyOf(b) ? -1 : 1))
        .map((worker) => liveView(worker, drains.get(worker.id), differing)),
      ...[...last, ...silent].toSorted((a, b) => (b.worker.beatAt ?? 0) - (a.worker.beatAt ?? 0)).map(deadView),
    ],
    differences,
  };
}

/** Reads one worker with its definitions; null if there is none of that id. */
export async function readWorkerDetail(source: RecordSource, id: string): Promise<WorkerDetail | null> {
  const { workers } = await readWorkerList(source);
  const view = workers.find((worker) => worker.id === id);
  if (!view) return null;
  const record = (await readWorkers(source)).find((worker) => worker.id === id);
  const entries = Object.entries(record?.definitions ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const options = await Promise.all(entries.map(([, digest]) => readDefinition(source, digest)));
  return { ...view, allDefinitions: entries.map(([name, digest], index) => ({ name, digest, options: options[index] ?? null })) };
}

function sortKeyOf({ host, id }: WorkerRecord): string {
  return `${host ?? '\uffff'}\0${id}`;
}

/** Returns the names of the differing definitions of each worker. */
function differingNames(differences: readonly DefinitionDifference[]): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const { name, versions } of differences)
    for (const worker of versions.flatMap(({ workers }) => workers)) names.set(worker, [...(names.get(worker) ?? []), name]);
  return names;
}

function liveView(worker: WorkerRecord, drain: WorkerDrain | undefined, differing: ReadonlyMap<string, readonly string[]>): WorkerView {
  const drained = drain ? { ...drain, at: dateOf(drain.at) } : null;
  return viewOf(worker, { drained, definitionsDiffer: differing.get(worker.id) ?? [], lastWords: null });
}

function deadView({ worker, words }: LastRecord): WorkerView {
  return viewOf(worker, { drained: null, definitionsDiffer: [], lastWords: words ?? 'heartbeats stopped' });
}

function viewOf(worker: WorkerRecord, more: Pick<WorkerView, 'drained' | 'definitionsDiffer' | 'lastWords'>): WorkerView {
  const { definitions, startedAt, beatAt } = worker;
  return {
    ...{ ...worker, ...more },
    ...{ definitions: definitions && Object.keys(definitions).length, startedAt: dateOf(startedAt), beatAt: dateOf(beatAt) },
  };
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}

/** Converts a worker to JSON for the API and `-o json`. */
export function workerToJson(worker: WorkerView): Record<string, unknown> {
  const { id, alive, host, pid, queues, maintenance, slots, running, zombies, draining, fetching, drained, subscribed, stops } = worker;
  const { memoryBytes, heapBytes, heapLimitBytes, loopDelayMs, threads, version, node, definitions, definitionsDiffer } = worker;
  const { broken, logError, clockMs, startedAt, beatAt, lastWords, problem } = worker;
  const timeOf = (at: Date | null): string | null => at && at.toISOString();
  return {
    ...{ id, alive, host, pid, queues, maintenance, slots, running, zombies, draining, fetching },
    drained: drained && { ...drained, at: timeOf(drained.at) },
    ...{ subscribed, stops: stops.count, stop_p50_ms: stops.p50Ms, stop_p99_ms: stops.p99Ms, stop_max_ms: stops.maxMs },
    ...{ memory_bytes: memoryBytes, heap_bytes: heapBytes, heap_limit_bytes: heapLimitBytes, loop_delay_ms: loopDelayMs, threads },
    ...{ version, node, definitions, definitions_differ: definitionsDiffer },
    ...{ broken, log_error: logError, clock_ms: clockMs },
    ...{ started_at: timeOf(startedAt), beat_at: timeOf(beatAt), last_words: lastWords, problem },
  };
}
