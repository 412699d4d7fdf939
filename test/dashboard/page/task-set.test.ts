import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Task } from '../../../dashboard/page/parts/api-types.js';
import { TaskSet } from '../../../dashboard/page/parts/task-set.js';
import { aTask, at } from './a-task.js';

const ALL = { item: null, state: null, name: null };
const NOW = 100_000;

function ids(set: TaskSet): string[] {
  return set.list().map(({ id }) => id);
}

function page(tasks: readonly Task[], given: Partial<ConstructorParameters<typeof TaskSet>[1]> = {}): TaskSet {
  return new TaskSet(tasks, { filter: ALL, limit: 3, first: true, ...given });
}

test('a new task comes first and pushes the oldest off a full page', () => {
  const set = page(['a', 'b', 'c'].map((id, index) => aTask({ id, enqueued_at: at(index) })));
  set.apply({ changed: [aTask({ id: 'd', enqueued_at: at(9) })], removed: [] }, NOW);
  assert.deepEqual(ids(set), ['d', 'c', 'b']);
});

test('later pages add no new tasks but update their own', () => {
  const set = page([aTask({ id: 'a' })], { first: false });
  set.apply({ changed: [aTask({ id: 'b' }), aTask({ id: 'a', state: 'stopping' })], removed: [] }, NOW);
  assert.deepEqual(
    set.list().map(({ id, state }) => `${id} ${state}`),
    ['a stopping'],
  );
});

test('a finished task lingers with its outcome, longer while its row is in use', () => {
  const set = page([aTask({ id: 'a' })]);
  set.apply({ changed: [aTask({ id: 'a', state: 'cancelled', finished_at: at(1) })], removed: ['a'] }, NOW);
  assert.equal(set.list()[0]?.state, 'cancelled');
  assert.equal(
    set.expire(NOW + 1_000, () => false),
    false,
  );
  assert.equal(
    set.expire(NOW + 60_000, () => true),
    false,
  );
  assert.deepEqual(ids(set), ['a']);
  assert.equal(
    set.expire(NOW + 60_000, () => false),
    true,
  );
  assert.deepEqual(ids(set), []);
});

test('a finished task without retention is removed at once', () => {
  const set = page([aTask({ id: 'a' })]);
  set.apply({ changed: [], removed: ['a'] }, NOW);
  assert.deepEqual(ids(set), []);
});

test('a lingering task that is retried stays', () => {
  const set = page([aTask({ id: 'a' })]);
  set.apply({ changed: [aTask({ id: 'a', state: 'failed' })], removed: ['a'] }, NOW);
  set.apply({ changed: [aTask({ id: 'a', state: 'queued' })], removed: [] }, NOW);
  set.expire(NOW + 60_000, () => false);
  assert.deepEqual(ids(set), ['a']);
});

test('only tasks that match the filters are added', () => {
  const set = page([], { filter: { item: 'chat-1', state: 'running', name: 'chat' } });
  set.apply(
    {
      changed: [aTask({ id: 'a' }), aTask({ id: 'b', item: null }), aTask({ id: 'c', name: 'other' }), aTask({ id: 'd', state: 'queued' })],
      removed: [],
    },
    NOW,
  );
  assert.deepEqual(ids(set), ['a']);
});

test('a list of finished tasks is ordered by finish time', () => {
  const set = page([aTask({ id: 'a', state: 'failed', finished_at: at(5) })], { filter: { ...ALL, state: 'failed' } });
  set.apply({ changed: [aTask({ id: 'b', state: 'failed', finished_at: at(9) }), aTask({ id: 'c' })], removed: ['b'] }, NOW);
  assert.deepEqual(ids(set), ['b', 'a']);
});
