import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CURVES, MOST_PROCESSES, rowName, unitRows, unitsOf, windowRows } from '../../../bench/scaling/curves.js';
import { publishScaling } from '../../../bench/scaling/publish.js';
import { type SizingBasis, sizeFleet } from '../../../bench/scaling/sizing.js';
import type { Window } from '../../../bench/scaling/window.js';

const BASIS: SizingBasis = {
  enqueue: { redis: 20, node: 30 },
  process: { redis: 30, node: 100 },
  stop: { redis: 200, node: 500 },
  idle: 500,
  bytes: 700,
  connections: 7,
};

describe('The size of a fleet', () => {
  it('follows from the time of its handlers while Redis is idle', () => {
    const { workers, masters, connections, memoryBytes } = sizeFleet(
      { tasksPerSecond: 1_000, liveTasks: 100_000, stopsPerSecond: 0 },
      BASIS,
    );
    // 1,000 × 501 ms / 64 slots.
    assert.deepEqual({ workers, masters, connections, memoryBytes }, { workers: 8, masters: 1, connections: 56, memoryBytes: 70_000_000 });
  });

  it('adds masters where one Redis would be busier than 70 %', () => {
    const { redisCores, masters, workers } = sizeFleet({ tasksPerSecond: 20_000, liveTasks: 0, stopsPerSecond: 200 }, BASIS);
    assert.equal(workers, 157);
    // 20,000 × 50 µs, 200 stops × 200 µs, 157 × 500 µs.
    assert.ok(Math.abs(redisCores - (1 + 0.04 + 0.0785)) < 1e-9);
    assert.equal(masters, 2);
  });
});

describe('The page about scaling', () => {
  const windowOf = (processes: number, share: number): Window => ({
    rate: Math.min(1_000 * processes, 9_000 * share),
    redis: [Math.min(processes / 9, share), 0.01],
    node: processes / 10,
    allowed: share,
    commands: 27,
    connections: 7 * processes,
  });
  const windows = new Map(
    CURVES.flatMap(({ name, share }) =>
      Array.from({ length: MOST_PROCESSES }, (_, index) => [rowName(name, index + 1), [windowOf(index + 1, share)]] as const),
    ),
  );
  const rows = [...windowRows(windows), ...unitRows(BASIS)];
  const { blocks, files } = publishScaling({ name: 'scaling', about: '', sizes: { rounds: 1 }, rows, notes: [] });

  it('has the rows of each curve, and the ceiling of its busiest Redis', () => {
    assert.match(blocks['scaling/third'] ?? '', /^\| 1 process \| 1,000 \| 11\.1 \| /m);
    assert.match(blocks['scaling/third'] ?? '', /^\| 6 processes \| 3,000 \| 33\.3 \| 100\.0 \| /m);
    assert.match(
      blocks['scaling/ceilings'] ?? '',
      /^\| one Redis on a third of a core \| 3,000 \| 100\.0 \| 30 \| 111 \| 3,000 \| 9,000 \|$/m,
    );
  });

  it('sizes from the costs where Redis is the limit', () => {
    assert.deepEqual(unitsOf(rows), { enqueue: BASIS.enqueue, stop: BASIS.stop, idle: BASIS.idle, bytes: BASIS.bytes });
    assert.match(
      blocks['scaling/costs'] ?? '',
      /^\| run a task \| 114 µs \| 100 µs \| run: one Redis on a third of a core, at its highest rate \|$/m,
    );
    // 1,000 × (20 + 114.44) µs + 10 × 200 µs + 8 × 500 µs.
    assert.match(blocks['scaling/sizing'] ?? '', /^\| 1,000 \| 100,000 \| 10 \| 14\.0 % \| 1 \| 70 MB \| 8 \| 56 \|$/m);
  });

  it('has a plot with a point for each number of processes', () => {
    const svg = files['docs/images/scaling.svg'] ?? '';
    assert.equal(svg.match(/<circle /g)?.length, 2 * CURVES.length * MOST_PROCESSES);
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
  });
});
