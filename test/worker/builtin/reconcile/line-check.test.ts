import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { stepsOf } from '../../../../shared/limiter/marks.js';
import { PARKED_AT, isParked } from '../../../../shared/limiter/parked-jobs.js';
import { LimitedJobs } from '../../../support/fleet/limited-jobs.js';
import { ReconcileFleet } from '../../../support/fleet/reconcile-fleet.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';

const { definition } = new ScriptedTask('rec.limited', { concurrency: { by: 'item', limit: 1 } });
const MARKS = [{ kind: 'place', id: 'task:rec.limited:chat', limit: 'task:rec.limited#0', max: 1 }] as const;

describe('The reconciler, of delayed jobs', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Opens a fleet with parked jobs of one item. */
  async function open(...ids: string[]) {
    const reconcile = new ReconcileFleet(fleet);
    const { store, jobs: prefix } = reconcile;
    const jobs = new LimitedJobs(store, definition);
    const now = Date.now();
    for (const [index, id] of ids.entries())
      await jobs.add(id, 'chat', { timestamp: now + index, delay: PARKED_AT - now - index - (id === 'one' ? 0 : 5) });
    const admit = (id: string) =>
      store.limiter.admit({ id, queue: definition.queue, name: definition.name, priority: 0, steps: stepsOf(null, MARKS) });
    const start = (id: string, run: string) =>
      store.limiter.start({ id, queue: definition.queue, name: definition.name, priority: 0, steps: stepsOf(null, MARKS), run });
    const waiting = () => fleet.client.lrange(`${prefix}wait`, 0, -1);
    const states = async (...of: string[]) => {
      const records = await store.limiter.records(of);
      return of.map((id) => records.get(id)?.state ?? null);
    };
    return { reconcile, store, jobs, admit, start, waiting, states, key: (name: string) => prefix + name };
  }

  it('lines parked jobs up again whose records are lost: those that may start go on, the others stay parked', async () => {
    const { reconcile, jobs, waiting, states } = await open('one', 'two', 'three');
    await reconcile.run();
    assert.deepEqual([await waiting(), await jobs.parked()], [['one'], ['three', 'two']]);
    assert.deepEqual(await states('one', 'two', 'three'), ['admitted', 'line', 'line']);
    await reconcile.run();
    assert.deepEqual([await waiting(), await jobs.parked()], [['one'], ['three', 'two']]);
  });

  it('moves a job on that was admitted and parked by a worker that died', async () => {
    const { reconcile, jobs, admit, waiting } = await open('one');
    await admit('one');
    await reconcile.run();
    assert.deepEqual([await waiting(), await jobs.parked()], [['one'], []]);
  });

  it('sends a parked job without readable limits to its queue', async () => {
    const { reconcile, jobs, waiting, key } = await open('one', 'two');
    await fleet.client.hset(key('one'), 'opts', '{"limits":"garbage"}');
    await fleet.client.hset(key('two'), 'opts', 'garbage');
    await reconcile.run();
    assert.deepEqual([(await waiting()).toSorted(), await jobs.parked()], [['one', 'two'], []]);
  });

  it('frees the places of a task that waits for a retry, whose worker died before it did so, but not those of a later run', async () => {
    const { reconcile, store, jobs, start, admit, states } = await open();
    await jobs.add('retrying', 'chat', { delay: 60_000 });
    await start('retrying', 'first');
    await admit('next');
    assert.deepEqual(await states('retrying', 'next'), ['running', 'line']);
    await reconcile.run();
    assert.deepEqual(await states('retrying', 'next'), [null, 'admitted']);
    await store.limiter.release(['next']);
    await start('retrying', 'second');
    await store.limiter.release(['retrying'], 'first');
    assert.deepEqual(await states('retrying'), ['running']);
  });

  it('frees the places of a task that has ended, with its entry', async () => {
    const { reconcile, store, start, states } = await open();
    await reconcile.register('ended');
    await start('ended', 'run');
    await reconcile.run();
    assert.deepEqual([await states('ended'), await fleet.client.hexists(store.keys.taskQueues, 'ended')], [[null], 0]);
  });

  it('restores a parked job that was in no list of its queue as parked', async () => {
    const { reconcile, admit, jobs, key } = await open('one', 'two');
    for (const id of ['one', 'two']) await admit(id);
    await fleet.client.zrem(key('delayed'), 'two');
    await reconcile.run();
    assert.ok(isParked(Number(await fleet.client.zscore(key('delayed'), 'two')) / 4_096));
    assert.deepEqual(await jobs.parked(), ['two']);
  });

  it('leaves a task alone that is delayed without limits, and a line of thousands is walked in pages', async () => {
    const { reconcile, jobs, waiting, states } = await open();
    const ids = Array.from({ length: 1_200 }, (_, index) => `task-${index}`);
    for (const id of ids) await jobs.add(id, 'chat', { delay: PARKED_AT - Date.now() });
    await jobs.add('tomorrow', 'other', { delay: 60_000 });
    await reconcile.run();
    const first = await waiting();
    assert.equal(first.length, 1);
    const found = await states(...ids);
    assert.deepEqual([found.filter((state) => state === 'line').length, found.filter((state) => state === 'admitted').length], [1_199, 1]);
    assert.deepEqual(await states('tomorrow'), [null]);
  });
});
