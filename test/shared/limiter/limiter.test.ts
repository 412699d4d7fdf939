import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { describeKeys } from '../../../shared/limiter/list/key-status.js';
import type { LimitStep } from '../../../shared/limiter/marks.js';
import type { LimitedTask } from '../../../shared/limiter/standing.js';
import type { Store } from '../../../shared/store.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

const GRACE = { graceMs: 60_000, atOnce: true };

function place(key: string, max = 1, more: Partial<LimitStep> = {}): LimitStep {
  return { kind: 'place', id: `task:t:${key}`, limit: 'task:t#0', max, keyed: key !== '', ...more };
}

function rate(key: string, max: readonly [number, number, number], more: Partial<LimitStep> = {}): LimitStep {
  return { kind: 'rate', id: `rate:task:t#1:${key}`, limit: 'task:t#1', max, keyed: key !== '', ...more };
}

/** Opens a fleet whose tasks line up without jobs. */
function open() {
  const store = fleet.store();
  const { limiter, keys } = store;
  const task = (id: string, steps: readonly LimitStep[], more: Partial<LimitedTask> = {}): LimitedTask => {
    return { id, queue: 'q', name: 't', priority: 0, steps, ...more };
  };
  const admit = async (id: string, steps: readonly LimitStep[], more: Partial<LimitedTask> = {}): Promise<string> =>
    (await limiter.admit(task(id, steps, more))).kind;
  const start = async (id: string, steps: readonly LimitStep[]): Promise<string> => (await limiter.start(task(id, steps))).kind;
  return { store, limiter, keys, task, admit, start };
}

/** Returns the names of the limiter's keys, without those that outlive the tasks. */
async function left({ keys, redis }: Store): Promise<string[]> {
  const start = keys.limiter('');
  const found = await redis.call('KEYS', `${start}*`);
  return (found as string[]).map((key) => key.slice(start.length)).filter((name) => !['seq', 'tended', 'defined', 'set'].includes(name));
}

async function inLine({ limiter }: Store, ids: readonly string[]): Promise<(number | null)[]> {
  const standings = await limiter.standings(ids);
  return ids.map((id) => standings.get(id)?.position ?? null);
}

test('Of one key as many start as its limit says, the next when one ends, by priority and then in order', async () => {
  const { store, limiter, admit, start } = open();
  const steps = [place('chat:1', 2)];
  assert.deepEqual(await Promise.all(['a', 'b', 'c', 'd'].map((id) => admit(id, steps))), ['go', 'go', 'line', 'line']);
  assert.equal(await admit('first', steps, { priority: 0 }), 'line');
  assert.equal(await admit('last', steps, { priority: 5 }), 'line');
  assert.equal(await admit('next', steps, { priority: 1 }), 'line');
  assert.deepEqual(await inLine(store, ['a', 'c', 'd', 'first', 'next', 'last']), [null, 1, 2, 3, 4, 5]);
  const { behind, limit, running, length, until } = (await limiter.standings(['c'])).get('c') ?? assert.fail();
  assert.deepEqual({ behind, limit, running, length, until }, { behind: ['a', 'b'], limit: 2, running: 2, length: 5, until: null });
  assert.equal(await start('a', steps), 'go');
  assert.equal(await start('c', steps), 'line', 'fetched out of turn');
  for (const [ended, next] of [
    ['a', 'c'],
    ['c', 'd'],
    ['b', 'first'],
    ['d', 'next'],
    ['next', 'last'],
  ] as const) {
    await limiter.release([ended]);
    assert.equal(await start(next, steps), 'go', next);
  }
  assert.equal(await start('last', steps), 'go', 'again, after its worker was lost');
  await limiter.release(['first', 'last']);
  await limiter.release(['first', 'unknown']);
  assert.deepEqual(await left(store), []);
});

test('At most the limit of a key waits for the limit of the whole task, and other keys get past', async () => {
  const { store, limiter, admit, start } = open();
  const of = (key: string): LimitStep[] => [place(key, 2), place('', 3, { limit: 'task:t#1' })];
  const first = await Promise.all(['a1', 'a2', 'a3', 'a4', 'a5', 'a6'].map((id) => admit(id, of('a'))));
  assert.deepEqual(first, ['go', 'go', 'line', 'line', 'line', 'line']);
  assert.deepEqual(await Promise.all(['b1', 'b2', 'b3', 'c1'].map((id) => admit(id, of(id[0] as string)))), ['go', 'line', 'line', 'line']);
  const waiting = await limiter.standings(['a3', 'b2', 'b3', 'c1']);
  assert.deepEqual(
    [...waiting].map(([id, standing]) => [id, standing?.id, standing?.position]),
    [
      ['a3', 'task:t:a', 1],
      ['b2', 'task:t:', 1],
      ['b3', 'task:t:b', 1],
      ['c1', 'task:t:', 2],
    ],
  );
  await limiter.release(['a1']);
  assert.equal(await start('b2', of('b')), 'go', 'it waited for the whole task before the next of a');
  assert.equal(await start('a3', of('a')), 'line');
  await limiter.release(['a2', 'a3', 'a4', 'a5', 'a6', 'b1', 'b2', 'b3', 'c1']);
  assert.deepEqual(await left(store), []);
});

test('Tasks that take the same places in another order do not wait for each other forever', async () => {
  const { store, limiter, admit, start } = open();
  const [x, y] = [place('x'), place('y')];
  assert.deepEqual([await admit('x', [x]), await admit('y', [y])], ['go', 'go']);
  assert.deepEqual([await admit('xy', [x, y]), await admit('yx', [y, x])], ['line', 'line']);
  await limiter.release(['x', 'y']);
  assert.deepEqual([await start('xy', [x, y]), await start('yx', [y, x])], ['go', 'line']);
  await limiter.release(['xy']);
  assert.equal(await start('yx', [y, x]), 'go');
  await limiter.release(['yx']);
  assert.deepEqual(await left(store), []);
});

test('A waiting task gives the place that an older one needs to it', async () => {
  const { store, limiter, admit, start } = open();
  const [x, y] = [place('x'), place('y')];
  assert.deepEqual([await admit('holder', [x]), await admit('older', [x, y])], ['go', 'line']);
  assert.equal(await admit('younger', [y, x]), 'line', 'it holds y, and waits for x behind the older one');
  await limiter.release(['holder']);
  assert.deepEqual([await start('older', [x, y]), await start('younger', [y, x])], ['go', 'line']);
  await limiter.release(['older']);
  assert.equal(await start('younger', [y, x]), 'go');
  await limiter.release(['younger']);
  assert.deepEqual(await left(store), []);
});

test('A rate lets its burst start at once, then a task at each interval, and pays nothing for a stopped task', async () => {
  const { store, limiter, admit, task } = open();
  const steps = [rate('', [1, 100_000, 2])];
  assert.deepEqual(await Promise.all(['a', 'b', 'c', 'd'].map((id) => admit(id, steps))), ['go', 'go', 'line', 'line']);
  const { until, kind } = (await limiter.standings(['c'])).get('c') ?? assert.fail();
  assert.equal(kind, 'rate');
  assert.ok(until && until.getTime() - store.clock.now() > 90_000 && until.getTime() - store.clock.now() <= 100_100);
  await limiter.release(['b']);
  await limiter.tend(GRACE);
  const standings = await limiter.standings(['c', 'd']);
  assert.deepEqual([standings.get('c'), standings.get('d')?.position], [null, 1], 'the credit of the stopped task went to the next');
  for (const id of ['a', 'c']) assert.equal((await limiter.start(task(id, steps))).kind, 'go');
  await limiter.release(['a', 'c', 'd']);
  assert.equal((await limiter.start(task('e', steps))).kind, 'line', 'what has started has paid');
  await limiter.release(['e']);
  assert.deepEqual(await left(store), ['rate:rate:task:t#1:']);
});

test('A limit set at run time wins until it is cleared', async () => {
  const { store, limiter, admit } = open();
  const steps = [place('k')];
  await limiter.publish([{ limit: 'task:t#0', max: 2, keyed: true }]);
  assert.deepEqual(await Promise.all(['a', 'b', 'c', 'd', 'e'].map((id) => admit(id, steps))), ['go', 'go', 'line', 'line', 'line']);
  await limiter.set('task:t:k', 3);
  assert.deepEqual(await inLine(store, ['c', 'd']), [null, 1]);
  await limiter.set('task:t:*', 9);
  assert.deepEqual(await inLine(store, ['d']), [1], 'the setting of the key wins');
  const [status] = await describeKeys(store.redis, store.keys, ['task:t:k']);
  assert.deepEqual([status?.id, status?.limit, status?.set, status?.running, status?.waiting], ['task:t:k', 3, 3, 3, 2]);
  await limiter.set('task:t:k', null);
  assert.deepEqual(await inLine(store, ['d', 'e']), [null, null]);
  await limiter.set('task:t:*', 0);
  await limiter.release(['a', 'b', 'c', 'd', 'e']);
  assert.equal(await admit('f', steps), 'line');
  await limiter.release(['f']);
  await client.del(store.keys.limiter('set'));
  assert.deepEqual(await left(store), []);
});

test('an enqueue takes back only the record that it made, and only before the task starts', async () => {
  const { store, limiter, task, admit, start } = open();
  const steps = [place('once')];
  await admit('one', steps, { nonce: 'first' });
  await admit('one', steps, { nonce: 'second' });
  for (const nonce of ['second', 'first']) await limiter.release(['one'], nonce);
  assert.equal((await limiter.records(['one'])).get('one')?.state, 'admitted', 'either of them may have made the task');
  assert.equal(await start('one', steps), 'go');
  await limiter.release(['one'], 'first');
  assert.equal((await limiter.records(['one'])).get('one')?.state, 'running');
  await limiter.admit(task('two', steps, { nonce: 'third' }));
  await limiter.release(['two'], 'third');
  await limiter.release(['one']);
  assert.deepEqual(await left(store), []);
});

test('a repeated admission names the older rivals again, and no newer ones', async () => {
  const { limiter, task } = open();
  const rivals = async (id: string): Promise<readonly string[]> => {
    const admission = await limiter.admit(task(id, [place('rivals')]), 'stop-previous');
    return 'rivals' in admission ? admission.rivals : assert.fail(admission.kind);
  };
  assert.deepEqual(await rivals('old'), []);
  assert.deepEqual(await rivals('mid'), ['old']);
  assert.deepEqual(await rivals('new'), ['old', 'mid']);
  assert.deepEqual([await rivals('mid'), await rivals('old')], [['old'], []]);
  await limiter.release(['old', 'mid', 'new']);
});
