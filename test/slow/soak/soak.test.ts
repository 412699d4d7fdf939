import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { built } from '../../support/process/built.js';
import { compileInto } from '../../support/runner/build-tests.js';
import { plotOf } from './report/plot.js';
import { Soak } from './soak.js';

describe('A soak', { skip: !existsSync('/proc/self/net/tcp') && 'needs Linux' }, () => {
  it('of six seconds accounts for every task and takes measurements', async () => {
    await compileInto(built(''), ['test/slow/soak/load/client-process.ts']);
    const said: string[] = [];
    const soak = await Soak.open({ minutes: 0.1, seed: 1, topology: 'standalone', out: tmpdir(), faults: false }, (line) =>
      said.push(line),
    );
    try {
      await soak.run(new AbortController().signal);
      const result = await soak.settle();
      assert.deepEqual(result.problems, []);
      const { acknowledged, completed, failed, cancelled, stopsAcknowledged } = result.audit;
      assert.ok(acknowledged > 10 && stopsAcknowledged > 0 && cancelled > 0);
      assert.equal(completed + failed + cancelled, acknowledged);
      assert.ok(
        result.samples.some(
          ({ redis, processes }) =>
            redis && redis.keys > 0 && processes.length === 4 && processes.every(({ rss, connections }) => rss > 0 && connections > 0),
        ),
      );
      assert.equal(result.rest?.live, 0);
      assert.match(plotOf(result), /<svg/);
      assert.ok(said.some((line) => line.startsWith('Seed 1')) && said.some((line) => /\d+ enqueued, \d+ ended, \d+ stops/.test(line)));
    } finally {
      await soak.close();
    }
  });
});
