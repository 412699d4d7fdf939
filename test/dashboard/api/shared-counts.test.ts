import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedCounts } from '../../../dashboard/api/shared-counts.js';
import { deferred } from '../../support/deferred.js';

function setUp() {
  const clock = { at: 0 };
  const shared = new SharedCounts<number>(() => clock.at);
  let counted = 0;
  /** Counts for `ms`. */
  const ask = async (key: string, ms = 0): Promise<number> => {
    const counting = shared.read(key, async () => {
      counted += 1;
      const number = counted;
      clock.at += ms;
      await Promise.resolve();
      return number;
    });
    return counting;
  };
  return { clock, shared, ask };
}

test('a count is shared while it is in progress, and for five times as long as it took', async () => {
  const { clock, ask } = setUp();
  assert.deepEqual(await Promise.all([ask('a', 400), ask('a'), ask('b')]), [1, 1, 2]);
  clock.at = 400 + 1_999;
  assert.equal(await ask('a'), 1);
  clock.at = 400 + 2_000;
  assert.equal(await ask('a'), 3);
});

test('a short count is shared for half a second, a very long one for ten seconds', async () => {
  const { clock, ask } = setUp();
  assert.equal(await ask('a'), 1);
  clock.at = 499;
  assert.equal(await ask('a'), 1);
  clock.at = 500;
  assert.equal(await ask('a', 60_000), 2);
  clock.at += 9_999;
  assert.equal(await ask('a'), 2);
  clock.at += 1;
  assert.equal(await ask('a'), 3);
});

test('a failed count is forgotten', async () => {
  const { shared, ask } = setUp();
  const failing = deferred<number>();
  const first = shared.read('a', () => failing.promise);
  const second = shared.read('a', () => Promise.resolve(7));
  failing.reject(new Error('away'));
  await assert.rejects(first, /away/);
  await assert.rejects(second, /away/);
  assert.equal(await ask('a'), 1);
});
