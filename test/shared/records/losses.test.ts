import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type WorkerLoss, describeSuspects, suspectsOf } from '../../../shared/records/losses.js';

const NOW = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const loss = (name: string, task: string, worker: string | null, minutesAgo = 1): WorkerLoss => ({
  ...{ at: NOW - minutesAgo * MINUTE_MS, worker, task, name, queue: 'a' },
});

test('a task that lost two workers within the hour is a suspect; neighbours of one lost worker are none', () => {
  const losses = [loss('a.kills', 'k', 'w2'), loss('a.other', 'o1', 'w1', 2), loss('a.kills', 'k', 'w1', 2), loss('a.old', 'x', 'w0', 61)];
  const suspects = suspectsOf([...losses, loss('a.old', 'x', 'w1', 2), loss('a.many', 'm1', 'w1', 2), loss('a.many', 'm2', 'w1', 2)], NOW);
  assert.deepEqual(suspects, [{ name: 'a.kills', task: 'k', workers: 2, lastAt: NOW - MINUTE_MS }]);
});

test('tasks of one name that each lost a worker make the name a suspect', () => {
  const suspects = suspectsOf([loss('a.kills', 'k1', 'w1'), loss('a.kills', 'k2', null, 2), loss('a.kills', 'k3', null, 3)], NOW);
  assert.deepEqual([suspects.length, suspects[0]?.task, suspects[0]?.workers], [1, null, 3]);
  assert.equal(describeSuspects(suspects), 'tasks of a.kills lost 3 workers within the last hour');
});

test('a text names three suspects and counts the rest', () => {
  const losses = ['a', 'b', 'c', 'd', 'e'].flatMap((task) => [loss(`a.${task}`, task, 'w1'), loss(`a.${task}`, task, 'w2')]);
  assert.match(describeSuspects(suspectsOf(losses, NOW)), /^a\.a a lost 2 workers within the last hour; a\.b .*; a\.c .*; 2 more$/);
  assert.equal(describeSuspects([]), '');
});
