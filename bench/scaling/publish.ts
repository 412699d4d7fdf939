import type { Published, Row, SuiteResult } from '../harness/suite.js';
import { formatNumber, markdownTables } from '../harness/table.js';
import { CURVES, bestRow, MOST_PROCESSES, rowName, unitsOf, valueOf } from './curves.js';
import { plotScaling } from './plot.js';
import { DEMANDS, type SizingBasis, sizeFleet } from './sizing.js';

const PLOT = 'docs/images/scaling.svg';
/** The costs of a task are those of a Redis that is the limit: below, they are higher, since fewer commands share a read or a write. */
const BASIS = 'one Redis on a third of a core';

/** Makes the tables of docs/scaling.md and its plot. */
export function publishScaling({ rows }: SuiteResult): Published {
  const tables = CURVES.map(({ name }, index) => {
    const block = ['one', 'third', 'one-shard', 'three-shards'][index] as string;
    return [`scaling/${block}`, markdownTables(rowsOf(rows, name))] as const;
  });
  const basis = basisOf(rows);
  return {
    blocks: {
      ...Object.fromEntries(tables),
      'scaling/ceilings': ceilings(rows),
      'scaling/costs': costs(basis),
      'scaling/sizing': sizing(basis),
    },
    files: { [PLOT]: plotScaling(rows) },
  };
}

/** Returns the rows of a curve, named by their number of processes alone. */
function rowsOf(rows: readonly Row[], curve: string): Row[] {
  return Array.from({ length: MOST_PROCESSES }, (_, index) => rowName(curve, index + 1)).flatMap((name) =>
    rows.filter((row) => row.name === name).map((row) => ({ ...row, name: name.slice(curve.length + 2) })),
  );
}

function basisOf(rows: readonly Row[]): SizingBasis {
  const name = bestRow(rows, BASIS);
  const process = { redis: valueOf(rows, name, 'Redis, µs/task'), node: valueOf(rows, name, 'workers, µs/task') };
  return { ...unitsOf(rows), process, connections: valueOf(rows, rowName(BASIS, 1), 'connections') };
}

/** Compares the highest rate of each curve with what its busiest Redis could do at most. */
function ceilings(rows: readonly Row[]): string {
  const lines = CURVES.map(({ name, share }) => {
    const best = bestRow(rows, name);
    const rate = valueOf(rows, best, 'tasks/s');
    const perTask = (valueOf(rows, best, 'busiest Redis, % of a core') * 1e4) / rate;
    const cells = [rate, valueOf(rows, best, '% of its time'), valueOf(rows, best, 'workers, % of a core'), perTask];
    return `| ${[name, ...cells.map(formatNumber), formatNumber((share * 1e6) / perTask), formatNumber(1e6 / perTask)].join(' | ')} |`;
  });
  return [
    '|  | highest tasks/s (run) | busiest Redis, % of its time (run) | workers, % of a core (run) | busiest Redis, µs/task (run) ' +
      '| ceiling here, tasks/s (calculated) | ceiling on whole cores, tasks/s (calculated) |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...lines,
  ].join('\n');
}

function costs({ enqueue, process, stop, idle, bytes, connections }: SizingBasis): string {
  const lines = [
    ['enqueue a task', `${formatNumber(enqueue.redis)} µs`, `${formatNumber(enqueue.node)} µs`, 'run: 20 concurrent calls'],
    ['run a task', `${formatNumber(process.redis)} µs`, `${formatNumber(process.node)} µs`, `run: ${BASIS}, at its highest rate`],
    [
      'stop a running task',
      `${formatNumber(stop.redis)} µs`,
      `${formatNumber(stop.node)} µs`,
      'run: 1,000 tasks, 20 stops at a time, with their ends',
    ],
    ['an idle worker process', `${formatNumber(idle)} µs/s`, '–', 'run: 6 processes for 3 s'],
    ['a live task on an item', `${formatNumber(bytes)} bytes`, '–', 'run: 20,000 tasks, 100 per item'],
    ['a worker process', `${formatNumber(connections)} connections`, '–', 'run: one queue, one Redis'],
  ];
  return ['|  | Redis | Node | figure |', '| --- | ---: | ---: | --- |', ...lines.map((cells) => `| ${cells.join(' | ')} |`)].join('\n');
}

function sizing(basis: SizingBasis): string {
  const lines = DEMANDS.map((demand) => {
    const { redisCores, masters, memoryBytes, workers, connections } = sizeFleet(demand, basis);
    const given = [demand.tasksPerSecond, demand.liveTasks, demand.stopsPerSecond].map(formatNumber);
    const cells = [
      `${formatNumber(redisCores * 100)} %`,
      formatNumber(masters),
      memoryOf(memoryBytes),
      formatNumber(workers),
      formatNumber(connections),
    ];
    return `| ${[...given, ...cells].join(' | ')} |`;
  });
  return [
    '| tasks/s | live tasks | stops/s | Redis CPU | masters | Redis memory | worker processes | connections |',
    '| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...lines,
  ].join('\n');
}

function memoryOf(bytes: number): string {
  return bytes < 1e9 ? `${formatNumber(Math.round(bytes / 1e6))} MB` : `${formatNumber(bytes / 1e9)} GB`;
}
