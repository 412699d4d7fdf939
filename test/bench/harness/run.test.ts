import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { interleave, ratiosTo, rowOf } from '../../../bench/harness/rounds.js';
import { runSuites } from '../../../bench/harness/run.js';
import { type Suite, defineSuite } from '../../../bench/harness/suite.js';
import { startTestRedis } from '../../support/redis/test-redis.js';

const rounds = { rounds: { full: 2, quick: 1 } };

describe('A run of the benchmarks', () => {
  it('measures the sides in turn on an empty Redis, and drops the warm-up', async (t) => {
    const redis = await startTestRedis();
    t.after(() => redis.stop());
    const turns: string[] = [];
    const suite = defineSuite({
      name: 'turns',
      about: 'fleet and bare',
      sizes: rounds,
      async run(env) {
        const measured = await interleave(env, ['fleet', 'bare'], async (side) => {
          assert.equal(await env.client.dbsize(), 0);
          await env.client.set('left', 'behind');
          return turns.push(side);
        });
        return {
          rows: [rowOf(measured, { name: 'turn', unit: '', ratios: ratiosTo('fleet', ['bare'], 'lower') }, (turn) => turn)],
          notes: ['A note.'],
        };
      },
    });
    const printed: string[] = [];
    const output = { print: (text: string) => void printed.push(text), progress: () => undefined };
    const { suites, failed } = await runSuites([{ suite, sizes: { rounds: 2 } }], redis, output);
    assert.deepEqual(turns, ['fleet', 'bare', 'bare', 'fleet', 'fleet', 'bare']);
    assert.deepEqual([suites[0]?.rows[0]?.sides, failed], [{ fleet: [4, 5], bare: [3, 6] }, []]);
    assert.match(printed.join('\n'), /## turns \(rounds 2\)\nfleet and bare\n\n.*fleet \/ bare\n.*turn .*\nA note\./s);
  });

  it('goes on after a suite that fails, and names it', async (t) => {
    const redis = await startTestRedis();
    t.after(() => redis.stop());
    const suiteOf = (name: string, run: Suite['run']): Suite => defineSuite({ name, about: '', sizes: rounds, run });
    const planned = [
      suiteOf('broken', () => Promise.reject(new Error('a task was lost'))),
      suiteOf('fine', () => Promise.resolve({ rows: [{ name: 'a row', unit: 'ms', sides: { fleet: [1] } }] })),
    ].map((suite) => ({ suite, sizes: { rounds: 1 } }));
    const printed: string[] = [];
    const output = { print: (text: string) => void printed.push(text), progress: () => undefined };
    const { suites, failed } = await runSuites(planned, redis, output);
    assert.deepEqual([suites.map(({ name }) => name), failed], [['fine'], ['broken']]);
    assert.match(printed.join('\n'), /## broken failed after \d+ s: Error: a task was lost/);
  });
});
