import { median } from '../harness/statistics.js';
import type { Row } from '../harness/suite.js';
import type { UnitCosts } from './units.js';
import type { Window } from './window.js';

/** A fleet whose worker processes are added one by one. */
export interface Curve {
  /** The start of the names of its rows, and its line in the plot. */
  readonly name: string;
  readonly onCluster: boolean;
  readonly shards: number;
  /** The share of a core that each redis-server gets. */
  readonly share: number;
}

const THIRD = 1 / 3;
export const CURVES: readonly Curve[] = [
  { name: 'one Redis', onCluster: false, shards: 1, share: 1 },
  { name: 'one Redis on a third of a core', onCluster: false, shards: 1, share: THIRD },
  { name: 'cluster, one shard', onCluster: true, shards: 1, share: THIRD },
  { name: 'cluster, three shards', onCluster: true, shards: 3, share: THIRD },
];
export const MOST_PROCESSES = 6;

export function rowName(curve: string, processes: number): string {
  return `${curve}, ${processes} ${processes === 1 ? 'process' : 'processes'}`;
}

/** The columns of a curve's rows. */
const COLUMNS = {
  'tasks/s': ({ rate }) => rate,
  'busiest Redis, % of a core': ({ redis }) => 100 * Math.max(...redis),
  '% of its time': ({ redis, allowed }) => (100 * Math.max(...redis)) / allowed,
  'workers, % of a core': ({ node }) => 100 * node,
  'Redis, µs/task': ({ redis, rate }) => (1e6 * redis.reduce((sum, cores) => sum + cores, 0)) / rate,
  'workers, µs/task': ({ node, rate }) => (1e6 * node) / rate,
  'commands/task': ({ commands }) => commands,
  connections: ({ connections }) => connections,
} as const satisfies Record<string, (window: Window) => number>;
export type Column = keyof typeof COLUMNS;

/** Returns a row for each number of processes of each curve, then one that compares the shards for `--check`. */
export function windowRows(windows: ReadonlyMap<string, readonly Window[]>): Row[] {
  const columns = Object.entries<(window: Window) => number>(COLUMNS);
  const rows = [...windows].map(([name, rounds]) => ({
    name,
    unit: '',
    sides: Object.fromEntries(columns.map(([column, of]) => [column, rounds.map(of)])),
  }));
  const rates = (curve: string): number[] => (windows.get(rowName(curve, MOST_PROCESSES)) ?? []).map(({ rate }) => rate);
  const sides = { 'one shard': rates('cluster, one shard'), 'three shards': rates('cluster, three shards') };
  const ratios = [{ of: 'three shards', to: 'one shard', better: 'higher' }] as const;
  return [...rows, { name: `cluster, ${MOST_PROCESSES} processes`, unit: 'tasks/s', sides, ratios }];
}

/** Returns the median of a column, or NaN for a missing row. */
export function valueOf(rows: readonly Row[], name: string, column: string): number {
  return median(rows.find((row) => row.name === name)?.sides[column] ?? []);
}

/** Returns the name of the row with the highest rate of a curve. */
export function bestRow(rows: readonly Row[], curve: string): string {
  const names = Array.from({ length: MOST_PROCESSES }, (_, index) => rowName(curve, index + 1));
  return names.reduce((best, name) => (valueOf(rows, name, 'tasks/s') > valueOf(rows, best, 'tasks/s') ? name : best));
}

const UNIT_ROWS = {
  enqueue: 'an enqueue',
  stop: 'a stop of a running task',
  idle: 'an idle worker process, each second',
  bytes: 'a live task on an item',
};

export function unitRows({ enqueue, stop, idle, bytes }: UnitCosts): Row[] {
  return [
    { name: UNIT_ROWS.enqueue, unit: 'µs', sides: { Redis: [enqueue.redis], Node: [enqueue.node] } },
    { name: UNIT_ROWS.stop, unit: 'µs', sides: { Redis: [stop.redis], Node: [stop.node] } },
    { name: UNIT_ROWS.idle, unit: 'µs', sides: { Redis: [idle] } },
    { name: UNIT_ROWS.bytes, unit: 'bytes', sides: { Redis: [bytes] } },
  ];
}

/** Reads the costs from the rows again. */
export function unitsOf(rows: readonly Row[]): UnitCosts {
  const both = (name: string): { redis: number; node: number } => ({
    redis: valueOf(rows, name, 'Redis'),
    node: valueOf(rows, name, 'Node'),
  });
  return {
    enqueue: both(UNIT_ROWS.enqueue),
    stop: both(UNIT_ROWS.stop),
    idle: both(UNIT_ROWS.idle).redis,
    bytes: both(UNIT_ROWS.bytes).redis,
  };
}
