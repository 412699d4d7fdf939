import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Task } from '../../../dashboard/page/parts/api-types.js';
import { attentionOf, typicalRuns } from '../../../dashboard/page/parts/attention.js';
import { aTask, at } from './a-task.js';

const HOUR = 3_600_000;

function kindOf(task: Task, now: number, typical = new Map<string, number>(), silent: readonly string[] = []): string | null {
  return attentionOf(task, { now, typical, silent: new Set(silent) })?.kind ?? null;
}

test('flags a stop that has not settled after ten seconds', () => {
  const task = aTask({ state: 'stopping', stop: { reason: null, by: null, at: at(0), via: null } });
  assert.equal(kindOf(task, 9_000), null);
  assert.equal(kindOf(task, 11_000), 'stuck');
});

test('flags a task whose worker has no heartbeat', () => {
  assert.equal(kindOf(aTask(), 1_000, new Map(), ['w1']), 'silent');
  assert.equal(kindOf(aTask({ worker: null }), 1_000, new Map(), ['w1']), null);
});

test('flags a task that runs far longer than others of its name, or, without others, more than an hour', () => {
  assert.equal(kindOf(aTask(), 100_000, new Map([['chat', 20_000]])), 'slow');
  assert.equal(kindOf(aTask(), 50_000, new Map([['chat', 2_000]])), null, 'runs under a minute are never slow');
  assert.equal(kindOf(aTask(), 2 * HOUR, new Map([['chat', HOUR]])), null);
  assert.equal(kindOf(aTask(), HOUR / 2), null);
  assert.equal(kindOf(aTask(), 2 * HOUR), 'slow');
});

test('does not flag queued and finished tasks', () => {
  for (const state of ['queued', 'scheduled', 'completed'] as const)
    assert.equal(kindOf(aTask({ state }), 9 * HOUR, new Map(), ['w1']), null);
});

test('the typical run time is the median of running tasks, given enough of them', () => {
  const five = [1, 2, 3, 4, 95].map((seconds, index) => aTask({ id: String(index), started_at: at(100 - seconds) }));
  assert.deepEqual([...typicalRuns([...five, aTask({ name: 'rare' }), aTask({ state: 'queued' })], 100_000)], [['chat', 3_000]]);
});
