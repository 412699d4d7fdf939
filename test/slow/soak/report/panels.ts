import type { ProcessSample, RedisSample, Sample } from '../sampler.js';
import type { Point } from './growth.js';

/** A line of a chart, interrupted where a measurement is missing or another process began. */
export interface Line {
  readonly name: string;
  readonly color: number;
  readonly dashed: boolean;
  readonly runs: readonly (readonly Point[])[];
}

/** A chart of series with the same unit. */
export interface Panel {
  readonly title: string;
  /** The unit; empty for counts. */
  readonly unit: string;
  readonly lines: readonly Line[];
}

const MIB = 2 ** 20;

/** The charts of a run, from top to bottom. */
export function panelsOf(samples: readonly Sample[]): Panel[] {
  return [
    { title: 'Memory of each process (RSS)', unit: 'MiB', lines: processLines(samples, ({ rss }) => rss / MIB) },
    { title: 'Memory of Redis (used_memory)', unit: 'MiB', lines: [redisLine('Redis', 0, samples, ({ memory }) => memory / MIB)] },
    { title: 'Connections of each process to Redis', unit: '', lines: processLines(samples, ({ connections }) => connections) },
    {
      title: 'Connections of Redis (connected_clients)',
      unit: '',
      lines: [redisLine('all clients', 0, samples, ({ clients }) => clients)],
    },
    {
      ...{ title: 'Keys of Redis', unit: '' },
      lines: [
        redisLine('all keys (DBSIZE)', 0, samples, ({ keys }) => keys),
        redisLine('ended tasks, kept', 1, samples, ({ kept }) => kept),
      ],
    },
    {
      ...{ title: 'Registry', unit: '' },
      lines: [redisLine('live tasks', 0, samples, ({ live }) => live), redisLine('all entries', 1, samples, ({ registry }) => registry)],
    },
  ];
}

/** Returns one line for each place, with a new piece for each process. */
function processLines(samples: readonly Sample[], read: (sample: ProcessSample) => number): Line[] {
  const places = [...new Set(samples.flatMap(({ processes }) => processes.map(({ place }) => place)))];
  return places.map((name, index) => {
    const runs: Point[][] = [];
    let pid: number | null = null;
    for (const { atMs, processes } of samples) {
      const one = processes.find(({ place }) => place === name);
      if (one && one.pid !== pid) runs.push([]);
      if (one) runs.at(-1)?.push({ atMs, value: read(one) });
      pid = one?.pid ?? null;
    }
    return { name, color: index % 4, dashed: index === 0, runs };
  });
}

function redisLine(name: string, color: number, samples: readonly Sample[], read: (sample: RedisSample) => number): Line {
  const runs: Point[][] = [];
  let isAway = true;
  for (const { atMs, redis } of samples) {
    if (redis && isAway) runs.push([]);
    if (redis) runs.at(-1)?.push({ atMs, value: read(redis) });
    isAway = redis === null;
  }
  return { name, color, dashed: false, runs };
}
