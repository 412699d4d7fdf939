import { groupBy } from '../../shared/groups.js';
import type { Store } from '../../shared/store.js';
import { firstLine, normaliseError } from './error-text.js';

/** Failed tasks that share an error, in the API's JSON format. */
interface FailureKind {
  /** The error with ids and numbers replaced by `N`. */
  readonly error: string;
  /** The tasks of the sample that have it. */
  readonly count: number;
  /** The latest of these tasks, and its error. */
  readonly task: string;
  readonly example: string;
}

/** The failed tasks of a name, in the API's JSON format. */
export interface Failures {
  readonly name: string;
  /** All that failed, also those retried or removed since. */
  readonly failed: number;
  /** Those that are still failed. */
  readonly kept: number;
  /** The latest tasks whose errors were compared. */
  readonly sampled: number;
  /** The most common errors of the sample. */
  readonly errors: readonly FailureKind[];
}

/** The failed tasks of a name in the indexes of a queue. */
interface Found {
  readonly name: string;
  readonly kept: number;
  readonly errors: readonly { readonly task: string; readonly text: string }[];
}

const SAMPLE = 50;
/** Limit on the jobs that one script reads: about a millisecond. */
const SAMPLE_OF_QUEUE = 500;
const SAMPLE_BYTES = 600;
const MOST_ERRORS = 3;
const MOST_NAMES = 50;

/**
 * Reads the failures since a time by task name, most first. The cost does not grow with the number of failures: errors come from a sample.
 * @param counted failures by name, as the workers counted them
 */
export async function readFailures(
  store: Pick<Store, 'redis' | 'keys' | 'unreadable'>,
  queues: readonly string[],
  since: number,
  counted: ReadonlyMap<string, number>,
): Promise<Failures[]> {
  const found = (await Promise.all(queues.map((queue) => findFailures(store, queue, since)))).flat();
  const names = new Set([...found.map(({ name }) => name), ...counted.keys()]);
  const ofName = groupBy(found, ({ name }) => name);
  return [...names]
    .map((name) => failuresOf(name, ofName.get(name) ?? [], counted.get(name) ?? 0))
    .filter(({ failed }) => failed > 0)
    .toSorted((a, b) => b.failed - a.failed || (a.name < b.name ? -1 : 1))
    .slice(0, MOST_NAMES);
}

async function findFailures(
  { redis, keys, unreadable }: Pick<Store, 'redis' | 'keys' | 'unreadable'>,
  queue: string,
  since: number,
): Promise<Found[]> {
  const key = keys.keptLimits(queue);
  const reading = redis.sampleFailures(key, keys.jobs(queue), since, SAMPLE, SAMPLE_OF_QUEUE, SAMPLE_BYTES);
  const found = await unreadable.read(key, 'hash', reading, []);
  return found.map(([name, kept, words]) => ({
    name,
    kept,
    errors: words.flatMap((task, index) => (index % 2 === 0 ? [{ task, text: words[index + 1] as string }] : [])),
  }));
}

/** Merges the failures of a name on several queues or shards. */
function failuresOf(name: string, found: readonly Found[], counted: number): Failures {
  const kept = found.reduce((sum, { kept: some }) => sum + some, 0);
  const sample = found.flatMap(({ errors }) => errors);
  const kinds = [...groupBy(sample, ({ text }) => normaliseError(text))].map(([error, of]) => {
    const { task, text } = of[0] as (typeof sample)[number];
    return { error, count: of.length, task, example: firstLine(text) };
  });
  const errors = kinds.toSorted((a, b) => b.count - a.count).slice(0, MOST_ERRORS);
  // Workers of an earlier version count nothing by name.
  return { name, failed: Math.max(counted, kept), kept, sampled: sample.length, errors };
}
