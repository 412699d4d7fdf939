import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TOPOLOGIES, type Topology } from '../options.js';
import { MIB, type SampleRun, sampleRun } from './sample-run.js';
import { verdictOf } from './verdict.js';

const topology = 'standalone';
const last = (run?: SampleRun) => sampleRun(run).at(-1)?.redis ?? null;

describe('The verdict of a soak', () => {
  it('passes a steady run, and lists the comparisons', () => {
    const { problems, untold, growths } = verdictOf(sampleRun(), { rest: last(), topology });
    assert.deepEqual({ problems, untold }, { problems: [], untold: [] });
    assert.deepEqual(
      growths.map(({ name }) => name),
      [
        ...['producer', 'worker 1', 'worker 2'].flatMap((name) => [`memory of ${name}`, `connections of ${name}`]),
        ...['memory of Redis', 'connections of Redis', 'keys of Redis', 'live tasks'],
      ],
    );
  });

  const growing: readonly (readonly [what: string, run: SampleRun, problem: RegExp])[] = [
    [
      'the memory of a process',
      { rss: (minute) => (110 + 3 * minute) * MIB },
      /^memory of worker 1: 128.0 MiB → 164.0 MiB, expected at most 158.0 MiB$/,
    ],
    ['its connections', { connections: (minute) => (minute < 10 ? 7 : 8) }, /^connections of worker 1: 7 → 8, expected the same$/],
    ['connections that it lost', { connections: (minute) => (minute < 10 ? 7 : 6) }, /^connections of worker 1: 7 → 6/],
    ['the memory of Redis', { memory: (minute) => (5 + minute) * MIB }, /^memory of Redis: 11.0 MiB → 23.0 MiB/],
    ['the connections of Redis', { clients: (minute) => (minute < 10 ? 25 : 26) }, /^connections of Redis: 25 → 26/],
    ['keys', { keys: (minute) => 1_000 + 40 * minute }, /^keys of Redis: 1240 → 1720/],
    ['live tasks', { live: (minute) => 10 + 3 * minute }, /^live tasks: 28 → 64/],
  ];
  for (const [what, run, problem] of growing) {
    it(`reports ${what}`, () => {
      const { problems } = verdictOf(sampleRun(run), { rest: null, topology });
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0] as string, problem);
    });
  }

  it('allows for connections that change with the masters, by failover or moved slots', () => {
    const problems = (run: SampleRun, of: Topology): number => verdictOf(sampleRun(run), { rest: null, topology: of }).problems.length;
    const [clients, connections] = [(minute: number) => (minute < 10 ? 50 : 52), (minute: number) => (minute < 10 ? 7 : 8)];
    assert.deepEqual(
      TOPOLOGIES.map((of) => problems({ clients }, of)),
      [1, 0, 0],
    );
    assert.deepEqual(
      TOPOLOGIES.map((of) => problems({ connections }, of)),
      [1, 1, 0],
    );
    assert.equal(problems({ connections: (minute) => 7 + minute }, 'cluster'), 1);
  });

  it('counts connections and live tasks at rest only', () => {
    const calm = (minute: number): boolean => Math.floor(minute) % 2 === 0;
    const run = {
      calm,
      connections: (minute: number) => (calm(minute) ? 7 : minute),
      live: (minute: number) => (calm(minute) ? 13 : 40 * minute),
    };
    assert.deepEqual(verdictOf(sampleRun(run), { rest: null, topology }).problems, []);
  });

  it('reports keys left at rest', () => {
    const rest = last({ keys: () => 1_101 });
    assert.deepEqual(verdictOf(sampleRun(), { rest, topology }).problems, ['keys of Redis at rest: 1101, expected at most 1100']);
  });

  it('skips processes that ran for less than half of the time', () => {
    const { growths } = verdictOf(sampleRun({ pid: (minute) => 100 + Math.floor(minute / 8) }), { rest: null, topology });
    assert.deepEqual(
      growths.map(({ name }) => name).filter((name) => name.endsWith('worker 2')),
      [],
    );
  });

  it('reports that a short run is not judged', () => {
    const { growths, untold, problems } = verdictOf(sampleRun({ keys: (minute) => 1_000 * minute }).slice(0, 36), { rest: null, topology });
    assert.deepEqual({ growths, problems }, { growths: [], problems: [] });
    assert.ok(untold.includes('keys of Redis') && untold.includes('memory of producer'));
  });
});
