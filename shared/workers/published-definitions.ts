import type { FleetClock } from '../clock/fleet-clock.js';
import { isName } from '../keys.js';
import type { RecordSource } from '../records/unreadable.js';
import type { AnyDefinition } from '../task/definition.js';
import { type DefinitionSummary, digestOf, summaryOf } from './definitions.js';
import type { WorkerRecord } from './heartbeats.js';

/** How long a published definition is kept, in ms. */
const KEPT_MS = 3_600_000;
/** Interval in which a process publishes its definitions again, in ms. */
export const PUBLISH_EVERY_MS = KEPT_MS / 4;
/** Definitions of producers read at once. */
const MAX_READ = 5_000;

/** A version of a definition, and the processes that have it. */
export interface DefinitionVersion {
  readonly digest: string;
  /** Ids of the live workers. */
  readonly workers: readonly string[];
  /** Whether a producer enqueued with it within the last hour. */
  readonly producers: boolean;
}

/** A definition that is not the same in all processes. */
export interface DefinitionDifference {
  /** The name of the task. */
  readonly name: string;
  /** The options that differ; empty if unknown. */
  readonly fields: readonly string[];
  readonly versions: readonly DefinitionVersion[];
}

type PublishSource = Pick<RecordSource, 'redis' | 'keys'> & { readonly clock: FleetClock };

/** Publishes definitions of a worker, so that others can tell what differs. */
export async function publishDefinitions(
  { redis, keys }: Omit<PublishSource, 'clock'>,
  definitions: readonly AnyDefinition[],
): Promise<void> {
  const pipeline = redis.pipeline();
  for (const summary of definitions.map(summaryOf))
    pipeline.set(keys.definition(digestOf(summary)), JSON.stringify(summary), 'PX', KEPT_MS);
  for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
}

/** Publishes a definition that a producer enqueues with. */
export async function publishProduced(source: PublishSource, definition: AnyDefinition): Promise<void> {
  const { redis, keys, clock } = source;
  const summary = summaryOf(definition);
  const digest = digestOf(summary);
  const now = clock.now();
  const pipeline = redis.pipeline().set(keys.definition(digest), JSON.stringify(summary), 'PX', KEPT_MS);
  pipeline.zadd(keys.definitions, now, `${summary.name}:${digest}`).zremrangebyscore(keys.definitions, 0, now - KEPT_MS);
  for (const [error] of (await pipeline.pexpire(keys.definitions, KEPT_MS).exec()) ?? []) if (error) throw error;
}

/** Returns the definitions that differ between these workers, or between them and the producers. */
export async function readDifferences(source: RecordSource, workers: readonly WorkerRecord[]): Promise<DefinitionDifference[]> {
  const versions = await readVersions(source, workers);
  const differing = [...versions].filter(([, digests]) => digests.size > 1).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Promise.all(
    differing.map(async ([name, digests]) => ({
      name,
      fields: await differingFields(source, [...digests.keys()]),
      versions: [...digests.values()],
    })),
  );
}

/** Reads a published definition; null if it is not kept, or cannot be read. */
export async function readDefinition({ redis, keys, unreadable }: RecordSource, digest: string): Promise<DefinitionSummary | null> {
  const key = keys.definition(digest);
  const text = await unreadable.read(key, 'string', redis.get(key), null);
  if (text === null) return null;
  try {
    const summary = JSON.parse(text) as unknown;
    if (typeof summary === 'object' && summary !== null && typeof (summary as DefinitionSummary).name === 'string')
      return summary as DefinitionSummary;
  } catch {
    // Reported below.
  }
  unreadable.report({ key, problem: 'expected a definition as JSON' });
  return null;
}

/** Returns the versions of each definition that a worker has, by name and digest. A producer's task may have no worker: see `unserved`. */
async function readVersions(source: RecordSource, workers: readonly WorkerRecord[]): Promise<Map<string, Map<string, DefinitionVersion>>> {
  const versions = new Map<string, Map<string, DefinitionVersion>>();
  const add = (name: string, digest: string, holder: { readonly worker?: string }): void => {
    const digests = versions.get(name) ?? new Map<string, DefinitionVersion>();
    const known = digests.get(digest) ?? { digest, workers: [], producers: false };
    const { worker } = holder;
    digests.set(digest, worker === undefined ? { ...known, producers: true } : { ...known, workers: [...known.workers, worker] });
    versions.set(name, digests);
  };
  for (const { id, definitions } of workers)
    for (const [name, digest] of Object.entries(definitions ?? {})) add(name, digest, { worker: id });
  for (const { name, digest } of await readProduced(source)) if (versions.has(name)) add(name, digest, {});
  return versions;
}

async function readProduced({ redis, keys, unreadable }: RecordSource): Promise<{ readonly name: string; readonly digest: string }[]> {
  const members = await unreadable.read(
    keys.definitions,
    'sorted set',
    redis.zrange(keys.definitions, '0', String(MAX_READ - 1), 'REV'),
    [],
  );
  return members.flatMap((member) => {
    const [name, digest = '', ...rest] = member.split(':');
    return isName(name) && /^[0-9a-f]+$/.test(digest) && rest.length === 0 ? [{ name, digest }] : [];
  });
}

async function differingFields(source: RecordSource, digests: readonly string[]): Promise<string[]> {
  const summaries = (await Promise.all(digests.map((digest) => readDefinition(source, digest)))).filter((summary) => summary !== null);
  const names = new Set(summaries.flatMap((summary) => Object.keys(summary)));
  return [...names].filter((name) => new Set(summaries.map((summary) => JSON.stringify(summary[name] ?? null))).size > 1).toSorted();
}
