import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldRows } from '../../../../dashboard/page/tasks/held-rows.js';
import { aTask } from '../a-task.js';

const task = (id: string, state: 'running' | 'completed' = 'running') => aTask({ id, state });
const shown = (rows: HeldRows): string => rows.shown.map(({ id, state }) => (state === 'running' ? id : `${id}!`)).join(' ');

test('rows that must not move stay in their places, with their new values, until they may move', () => {
  const rows = new HeldRows();
  rows.offer([task('b'), task('a')], false);
  assert.equal(shown(rows), 'b a', 'the first rows move nothing');
  rows.offer([task('d'), task('c'), task('b', 'completed')], false);
  assert.deepEqual([shown(rows), rows.held], ['b! a', 2]);
  assert.equal(rows.release(), true);
  assert.deepEqual([shown(rows), rows.held], ['d c b!', 0]);
  assert.equal(rows.release(), false);
  rows.offer([task('e')], true);
  assert.equal(shown(rows), 'e');
});

test('a newer version drops what an older one held back', () => {
  const rows = new HeldRows();
  rows.offer([task('a')], true);
  rows.offer([task('b'), task('a')], false);
  rows.offer([task('c'), task('a')], true);
  assert.deepEqual([shown(rows), rows.held, rows.release()], ['c a', 0, false]);
});

test('changes update rows in their places, and tell of others', () => {
  const rows = new HeldRows();
  rows.offer([task('b'), task('a')], true);
  assert.equal(rows.update([task('a', 'completed')]), false);
  assert.equal(rows.update([task('z'), task('b', 'completed')]), true);
  assert.equal(shown(rows), 'b! a!');
  rows.clear();
  assert.equal(shown(rows), '');
});
