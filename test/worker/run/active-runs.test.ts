import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ActiveRuns, Run } from '../../../worker/run/run.js';
import { deferred } from '../../support/deferred.js';

const newRun = (id: string, queue = 'q') =>
  new Run({ id, queue, name: 'a.task', item: '', token: 't', lockMs: 15_000, lockedAt: Date.now(), clock: Date });

describe('ActiveRuns', () => {
  it('finds a run until it is untracked', () => {
    const runs = new ActiveRuns();
    const [one, two] = [newRun('one'), newRun('two')];
    runs.track(one);
    runs.track(two);
    assert.equal(runs.get('q', 'one'), one);
    assert.deepEqual(
      runs.all().map(({ id }) => id),
      ['one', 'two'],
    );
    runs.untrack(one);
    assert.equal(runs.get('q', 'one'), undefined);
    assert.deepEqual(runs.all(), [two]);
    assert.equal(runs.size, 1);
  });

  it('aborts a run whose task is tracked again, and untracks only the ended run', () => {
    const runs = new ActiveRuns();
    const [lost, current] = [newRun('one'), newRun('one')];
    runs.track(lost);
    runs.track(current);
    assert.equal(lost.cause?.kind, 'lock-lost');
    assert.equal(current.cause, null);
    runs.untrack(lost);
    assert.equal(runs.get('q', 'one'), current);
    runs.untrack(current);
    assert.equal(runs.size, 0);
  });

  it('distinguishes jobs with the same id on two queues', () => {
    const runs = new ActiveRuns();
    const [here, there] = [newRun('1', 'here'), newRun('1', 'there')];
    runs.track(here);
    runs.track(there);
    assert.equal(here.cause, null);
    assert.deepEqual(runs.find('1'), [here, there]);
    assert.equal(runs.size, 2);
  });

  it('is idle at once without runs, or when the last run ends', async () => {
    const runs = new ActiveRuns();
    assert.equal(await runs.idle(0), true);
    const [one, two] = [newRun('one'), newRun('two')];
    runs.track(one);
    runs.track(two);
    const idle = runs.idle(60_000);
    runs.untrack(one);
    runs.untrack(two);
    assert.equal(await idle, true);
  });

  it('is not idle after the timeout', async () => {
    const runs = new ActiveRuns();
    runs.track(newRun('one'));
    assert.equal(await runs.idle(1), false);
  });

  it('counts an abandoned handler until it returns or throws', async () => {
    const runs = new ActiveRuns();
    const [first, second] = [deferred(), deferred()];
    const ended: string[] = [];
    runs.addZombie(newRun('one'), first.promise, () => ended.push('first'));
    runs.addZombie(newRun('two'), second.promise, () => ended.push('second'));
    assert.equal(runs.zombies, 2);
    first.resolve();
    second.reject(new Error('too late'));
    await Promise.allSettled([first.promise, second.promise]);
    assert.equal(runs.zombies, 0);
    assert.deepEqual(ended, ['first', 'second']);
    assert.equal(runs.size, 0);
  });
});
