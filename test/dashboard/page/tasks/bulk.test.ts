import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bulk } from '../../../../dashboard/page/parts/api-types.js';
import { bulkText } from '../../../../dashboard/page/tasks/bulk/bulk-text.js';
import { bulkActions, bulkBody } from '../../../../dashboard/page/tasks/bulk/request.js';
import { Selection } from '../../../../dashboard/page/tasks/bulk/selection.js';
import { readQuery } from '../../../../dashboard/page/tasks/query.js';

const olga = { name: 'olga', role: 'operator', items: null, via: 'session', csrf_token: null } as const;
const PAGE = ['a', 'b', 'c', 'd'];

test('tasks are chosen one by one, in a range, by page, and all that match', () => {
  let changes = 0;
  const selection = new Selection(() => (changes += 1));
  assert.equal(selection.empty, true);
  selection.toggle('b', PAGE);
  selection.addRange('d', 'b', PAGE);
  assert.deepEqual([selection.ids, changes], [['b', 'c', 'd'], 2]);
  selection.togglePage(PAGE);
  assert.deepEqual(selection.ids.length, 4);
  selection.togglePage(PAGE);
  assert.equal(selection.empty, true);
  selection.chooseAll();
  assert.deepEqual([selection.has('x'), selection.all, selection.empty], [true, true, false]);
  // Without one of them, the others of the page are chosen.
  selection.toggle('c', PAGE);
  assert.deepEqual([selection.all, selection.ids], [false, ['a', 'b', 'd']]);
  selection.clear();
  assert.equal(selection.empty, true);
});

test('a list offers what its states and the role allow', () => {
  const offered = (search: string, role: 'operator' | 'viewer' | 'submitter' = 'operator', items: readonly string[] | null = null) =>
    bulkActions(readQuery(search), { ...olga, role, items: items as string[] | null });
  assert.deepEqual(offered(''), ['stop']);
  assert.deepEqual(offered('?state=failed'), ['retry']);
  assert.deepEqual(offered('?state=all'), ['stop', 'retry']);
  assert.deepEqual(offered('?state=completed'), []);
  assert.deepEqual(offered('', 'viewer'), []);
  assert.deepEqual([offered('', 'submitter'), offered('', 'submitter', ['mine*'])], [[], ['stop']]);
});

test('a bulk names the chosen tasks, or the filter with the states that it is for', () => {
  const one = { ids: ['a'], all: false };
  const all = { ids: [], all: true };
  assert.deepEqual(bulkBody('stop', one, readQuery('?name=x')), { ids: ['a'] });
  assert.deepEqual(bulkBody('stop', all, readQuery('')), { filter: {}, all: true });
  assert.deepEqual(bulkBody('stop', all, readQuery('?state=all&name=x')), { filter: { name: 'x' } });
  assert.deepEqual(bulkBody('stop', all, readQuery('?state=queued,failed&tag=t')), { filter: { state: 'queued', tag: ['t'] } });
  assert.deepEqual(bulkBody('retry', all, readQuery('?state=ended')), { filter: { state: 'failed,cancelled,skipped' } });
});

test('a bulk says how far it is, and what came of it', () => {
  const bulk: Bulk = {
    ...{ id: 'b', action: 'stop', state: 'running', total: 5_000, matched: 1_200, done: 1_100 },
    ...{ outcomes: { cancelled: 1_050, requested: 50, finished: 0 }, error: null, filter: null, reason: null, by: 'olga' },
    ...{ enqueued_at: null, started_at: null, finished_at: null },
  };
  assert.equal(bulkText(bulk), 'Stopping 1,100 of 5,000 tasks: 1,050 cancelled, 50 stop requested');
  assert.equal(bulkText({ ...bulk, total: null, outcomes: {} }), 'Stopping 1,100 tasks');
  assert.equal(
    bulkText({ ...bulk, action: 'retry', state: 'completed', matched: 1, outcomes: { retried: 1 } }),
    'Retried 1 task: 1 retried.',
  );
  assert.equal(
    bulkText({ ...bulk, state: 'cancelled', error: null, outcomes: { cancelled: 7 } }),
    'The stop was cancelled after 1,100 tasks: 7 cancelled.',
  );
});
