import assert from 'node:assert/strict';
import type { Profiler } from 'node:inspector';
import { test } from 'node:test';
import { flameGraph } from '../../bench/profile/flame-graph.js';
import { framesOf, tableOf } from '../../bench/profile/frames.js';

const JOBS = 10;

function node(id: number, functionName: string, url: string, children: number[] = []): Profiler.ProfileNode {
  return { id, callFrame: { functionName, url, scriptId: '0', lineNumber: 0, columnNumber: 0 }, children };
}

/** Two calls of `run` in ours, one of them from ioredis; the garbage collector, the profiler itself and idle time. */
const PROFILE: Profiler.Profile = {
  startTime: 0,
  endTime: 0,
  nodes: [
    node(1, '(root)', '', [2, 5, 6, 7, 8]),
    node(2, 'run<T>', 'file:///fleet/dist/worker/run.js', [3, 4]),
    node(3, 'exec', 'file:///fleet/node_modules/ioredis/built/Redis.js'),
    node(4, 'pack', 'file:///fleet/node_modules/@scope/pack/index.js'),
    node(5, '(garbage collector)', ''),
    node(6, 'post', 'node:inspector', [9]),
    node(7, '(idle)', ''),
    node(8, 'run<T>', 'file:///fleet/dist/worker/run.js'),
    node(9, 'dispatch', ''),
  ],
  samples: [2, 3, 4, 5, 7, 8, 9],
  timeDeltas: [100, 200, 300, 400, 5_000, 50, 6_000],
};

test('a profile becomes frames with times per job, without idle time and the profiler', () => {
  const root = framesOf(PROFILE, JOBS);
  assert.equal(root.total, 105);
  const frames = [...root.callees.values()].map(({ name, module, self, total }) => ({ name, module, self, total }));
  assert.deepEqual(frames, [
    { name: 'run<T>', module: 'ours', self: 15, total: 65 },
    { name: '(garbage collector)', module: 'gc', self: 40, total: 40 },
  ]);
});

test('the table has the self times, by module and by function, longest first', () => {
  assert.deepEqual(
    tableOf(framesOf(PROFILE, JOBS)).map((line) => line.trim().replaceAll(/ +/g, ' ')),
    [
      '105.00 µs per job, self time:',
      ...['40.00 gc', '30.00 @scope/pack', '20.00 ioredis', '15.00 ours'],
      '',
      ...['40.00 gc (garbage collector)', '30.00 @scope/pack pack', '20.00 ioredis exec', '15.00 ours run<T>'],
    ],
  );
});

test('the flame graph has a box for each frame, as wide as its time on the scale', () => {
  const svg = flameGraph(framesOf(PROFILE, JOBS), 'a & b', 210);
  assert.match(svg, /<text[^>]*>a &amp; b<\/text>/);
  assert.match(svg, /<title>run&lt;T&gt; \(ours\): 65\.0 µs<\/title><rect x="0\.0" y="44" width="370\.9"/);
  assert.match(svg, /<title>exec \(ioredis\): 20\.0 µs<\/title><rect x="171\.4" y="60" width="113\.8"/);
});
