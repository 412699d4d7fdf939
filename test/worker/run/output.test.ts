import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Store } from '../../../shared/store.js';
import { TaskOutput } from '../../../worker/run/output.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

describe('TaskOutput', () => {
  let fleet: TestFleet;
  let store: Store;

  before(async () => {
    fleet = await TestFleet.start();
    store = fleet.store();
  });
  after(() => fleet.stop());

  it('repeats the attempt number after a failed write, and reports the first failure', async () => {
    const key = store.keys.events('one');
    const errors: unknown[] = [];
    const output = new TaskOutput(
      store.redis,
      key,
      2,
      () => Promise.resolve(),
      () => true,
      (error) => void errors.push(error),
    );
    await fleet.client.set(key, 'not a stream');
    for (let write = 0; write < 2; write += 1) {
      // A full batch is sent at once.
      for (let n = 0; n < 256; n += 1) output.emit('lost');
      await output.written();
    }
    await fleet.client.del(key);
    output.emit('a word');
    await until(
      () => fleet.client.xlen(key),
      (length) => length === 2,
    );
    output.emit('another');
    output.close();
    await output.written();
    const entries = (await fleet.client.xrange(key, '-', '+')).map(([, fields]) => fields);
    assert.deepEqual(entries, [
      ['type', 'state', 'data', '"running"', 'attempt', '2'],
      ['type', 'chunk', 'data', '"a word"'],
      ['type', 'chunk', 'data', '"another"'],
    ]);
    assert.match(String(errors), /^[^,]*WRONGTYPE[^,]*$/);
  });
});
