import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  conditionsOf,
  countPath,
  exactly,
  filterOf,
  hasConditions,
  listPath,
  readQuery,
  searchOf,
} from '../../../../dashboard/page/tasks/query.js';

const FULL =
  '?state=failed%2Ccancelled&q=inv&name=invoice.*&item=a%26b&older_than=1h&finished_after=2h&tag=tenant%3A7&tag=x&order=oldest&limit=250';

test('the URL holds the whole query', () => {
  const query = readQuery(FULL);
  assert.deepEqual(query, {
    states: ['failed', 'cancelled'],
    texts: { q: 'inv', name: 'invoice.*', item: 'a&b', older_than: '1h', finished_after: '2h' },
    tags: ['tenant:7', 'x'],
    order: 'oldest',
    limit: 250,
  });
  assert.deepEqual(readQuery(searchOf(query)), query);
  assert.equal(searchOf(query), FULL);
  assert.equal(searchOf(readQuery('')), '');
  assert.equal(searchOf(readQuery('?state=ended')), '?state=ended');
});

test('values that the page does not know are ignored', () => {
  const query = readQuery('?state=odd,&limit=7&order=up&name=%20%20&tag=&colour=red&after=5');
  assert.deepEqual(query, { states: 'live', texts: {}, tags: [], order: 'newest', limit: 100 });
  assert.equal(hasConditions(query), false);
  assert.deepEqual(readQuery('?state=odd,failed,running').states, ['running', 'failed']);
});

test('paths of the API have the filter, and a bulk has it as a body', () => {
  const query = readQuery('?state=failed&tag=a&tag=b&order=oldest');
  assert.equal(listPath(query, '5-x'), 'tasks?state=failed&tag=a&tag=b&order=oldest&limit=100&after=5-x');
  assert.equal(listPath(readQuery(''), null), 'tasks?limit=100');
  assert.equal(countPath(query, 'all'), 'tasks/count?state=all&tag=a&tag=b');
  assert.equal(countPath(readQuery(''), 'live'), 'tasks/count');
  assert.deepEqual(filterOf(query), { state: 'failed', tag: ['a', 'b'] });
  assert.deepEqual(filterOf(readQuery('?name=x'), 'live'), { name: 'x' });
});

test('each condition can be taken away', () => {
  const query = readQuery('?name=x&error=refused&tag=a&tag=b');
  assert.deepEqual(
    conditionsOf(query).map(({ text, without }) => `${text} → ${searchOf(without)}`),
    [
      'name x → ?error=refused&tag=a&tag=b',
      'error contains refused → ?name=x&tag=a&tag=b',
      'tag a → ?name=x&error=refused&tag=b',
      'tag b → ?name=x&error=refused&tag=a',
    ],
  );
});

test('an item that ends in an asterisk is no prefix', () => {
  assert.deepEqual(['chat:1', 'a*', '*'].map(exactly), ['chat:1', 'a\\*', '\\*']);
});
