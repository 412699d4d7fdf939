import type { Topology } from '../options.js';
import type { ProcessSample, RedisSample, Sample } from '../sampler.js';
import { type Growth, type GrowthLimit, type Point, type Series, growthOf } from './growth.js';

const MIB = 2 ** 20;
/** Processes that ran for a smaller share of the run are not judged. */
const LEAST_LIFE = 0.5;
/** In a shorter run, the first fifth, which is not judged, is too short for the number of retained tasks to settle. */
const LEAST_RUN_MS = 290_000;

/**
 * Node's heap grows to twice its live part before a full collection, and returns the memory of a burst late. A leak of 1 KiB per task
 * is still visible: at 30 tasks per second it makes 35 MiB in 20 minutes.
 */
const RSS: GrowthLimit = { share: 0.2, least: 30 * MIB };
/** The number of retained tasks varies with the load, and the buffers of the append-only file with the faults. */
const REDIS_MEMORY: GrowthLimit = { share: 0.2, least: 5 * MIB };
/** A process has a fixed number of connections: at rest, one more is a leak, and one less a lost subscriber. */
const FIXED: GrowthLimit = { share: 0, least: 0, exact: true };
/** A cluster client connects to a node at its first use, which depends on the slots. */
const TO_NODES: GrowthLimit = { share: 0.25, least: 4 };
const CONNECTIONS: Readonly<Record<'process' | 'redis', Readonly<Record<Topology, GrowthLimit>>>> = {
  process: { standalone: FIXED, sentinel: FIXED, cluster: TO_NODES },
  // Replicas and sentinels connect too, and reconnect after each failover.
  redis: { standalone: FIXED, sentinel: { share: 0.1, least: 3 }, cluster: TO_NODES },
};
/** One key for each retained task, as many as ended in half a minute, and one for each minute and process. */
const KEYS: GrowthLimit = { share: 0.1, least: 100 };
/** Live tasks are the endless ones of the load and the queued or running ones: more would be a backlog or leaked entries. */
const LIVE: GrowthLimit = { share: 0.5, least: 20 };

export interface Verdict {
  readonly growths: readonly (Growth & { readonly unit: 'B' | '' })[];
  /** The series with too few samples. */
  readonly untold: readonly string[];
  readonly problems: readonly string[];
}

export interface VerdictOptions {
  /** The final measurements of Redis, null if unknown. */
  readonly rest: RedisSample | null;
  readonly topology: Topology;
}

/** The problems of the run. */
export function verdictOf(samples: readonly Sample[], { rest, topology }: VerdictOptions): Verdict {
  const calm = samples.filter((sample) => sample.calm);
  const checks: [series: Series, limit: GrowthLimit, unit: 'B' | ''][] = [
    ...longLived(samples).flatMap(({ name, pid }): [Series, GrowthLimit, 'B' | ''][] => [
      [ofProcess(`memory of ${name}`, samples, pid, ({ rss }) => rss), RSS, 'B'],
      [ofProcess(`connections of ${name}`, calm, pid, ({ connections }) => connections), CONNECTIONS.process[topology], ''],
    ]),
    [ofRedis('memory of Redis', samples, ({ memory }) => memory), REDIS_MEMORY, 'B'],
    [ofRedis('connections of Redis', calm, ({ clients }) => clients), CONNECTIONS.redis[topology], ''],
    [ofRedis('keys of Redis', samples, ({ keys }) => keys), KEYS, ''],
    [ofRedis('live tasks', calm, ({ live }) => live), LIVE, ''],
  ];
  const isLong = (samples.at(-1)?.atMs ?? 0) >= LEAST_RUN_MS;
  const growths: (Growth & { unit: 'B' | '' })[] = [];
  const untold: string[] = [];
  for (const [series, limit, unit] of checks) {
    const growth = isLong ? growthOf(series, limit) : null;
    if (growth === null) untold.push(series.name);
    else growths.push({ ...growth, unit });
  }
  const problems = growths
    .filter(({ grew }) => grew)
    .map(({ name, before, after, most, unit }) => {
      const expected = before === most ? 'the same' : `at most ${shown(most, unit)}`;
      return `${name}: ${shown(before, unit)} → ${shown(after, unit)}, expected ${expected}`;
    });
  const plateau = growths.find(({ name }) => name === 'keys of Redis');
  if (plateau && rest && rest.keys > plateau.most)
    problems.push(`keys of Redis at rest: ${rest.keys}, expected at most ${Math.round(plateau.most)}`);
  return { growths, untold, problems };
}

/** Formats a value: `120.5 MiB`, or a number. */
export function shown(value: number, unit: 'B' | ''): string {
  return unit === 'B' ? `${(value / MIB).toFixed(1)} MiB` : String(Math.round(value));
}

export function ofProcess(name: string, samples: readonly Sample[], pid: number, read: (sample: ProcessSample) => number): Series {
  return {
    name,
    points: samples.flatMap(({ atMs, processes }): Point[] =>
      processes.filter((one) => one.pid === pid).map((one) => ({ atMs, value: read(one) })),
    ),
  };
}

export function ofRedis(name: string, samples: readonly Sample[], read: (sample: RedisSample) => number): Series {
  return { name, points: samples.flatMap(({ atMs, redis }): Point[] => (redis === null ? [] : [{ atMs, value: read(redis) }])) };
}

function longLived(samples: readonly Sample[]): { name: string; pid: number }[] {
  const lengthMs = (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0);
  const lives = new Map<number, { place: string; fromMs: number; toMs: number }>();
  for (const { atMs, processes } of samples)
    for (const { pid, place } of processes) lives.set(pid, { place, fromMs: lives.get(pid)?.fromMs ?? atMs, toMs: atMs });
  return [...lives]
    .filter(([, { fromMs, toMs }]) => toMs - fromMs >= lengthMs * LEAST_LIFE)
    .map(([pid, { place }]) => ({ name: place, pid }));
}
