import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnNames, sortColumn } from '../../../../dashboard/page/tasks/column-names.js';
import { emptyNote, reachText } from '../../../../dashboard/page/tasks/notes.js';
import { readQuery, searchOf } from '../../../../dashboard/page/tasks/query.js';
import { numberText, sumOf } from '../../../../dashboard/page/tasks/state-counts.js';

test('the columns suit the states', () => {
  const columns = (search: string): string => columnNames(readQuery(search)).join(' ');
  assert.equal(columns('?state=failed'), 'state task item error finished run attempt worker');
  assert.ok(columns('?state=queued').includes('waiting'));
  assert.equal(columns(''), 'state task item progress enqueued run worker attempt');
  assert.equal(columns('?state=failed,cancelled'), columns('?state=ended'));
  assert.ok(columns('?state=failed,running').includes('enqueued finished'));
  for (const search of [
    '',
    '?state=all',
    '?state=ended',
    ...['running', 'failed', 'skipped', 'scheduled'].map((state) => `?state=${state}`),
  ])
    assert.ok(columnNames(readQuery(search)).includes(sortColumn(readQuery(search))), search);
});

test('an empty list says what is missing, and where to look', () => {
  const note = (search: string) => {
    const { text, offers, enqueue } = emptyNote(readQuery(search));
    return [text, ...offers.map((offer) => `${offer.text}: ${searchOf(offer.query)}`), enqueue ? 'enqueue' : ''].filter(Boolean);
  };
  assert.deepEqual(note(''), ['No live tasks.', 'Show ended tasks: ?state=ended', 'enqueue']);
  assert.deepEqual(note('?state=failed,skipped&name=x&tag=t'), [
    'No failed or skipped tasks match: name x, tag t.',
    'Look in all states: ?state=all&name=x&tag=t',
    'Clear the filter: ?state=failed%2Cskipped',
  ]);
  assert.deepEqual(note('?state=failed')[0], 'No failed tasks. Ended tasks are listed while they are retained.');
});

test('a search that gave up says how far it got', () => {
  const reached = { searched: 20_000, reached: '2026-01-01T14:02:00Z' };
  assert.equal(
    reachText(reached, 'newest', () => '14:02'),
    'Looked through 20,000 tasks, back to 14:02.',
  );
  assert.equal(
    reachText(reached, 'oldest', () => '14:02'),
    'Looked through 20,000 tasks, up to 14:02.',
  );
  assert.equal(
    reachText({ searched: 100, reached: null }, 'newest', () => ''),
    null,
  );
});

test('counts are added up, and say if there may be more', () => {
  const counts = {
    running: { count: 1_200, complete: true },
    queued: { count: 100_000, complete: false },
    failed: { count: 3, complete: true },
  };
  assert.deepEqual(
    ['live', 'ended', 'failed', 'all'].map((choice) => numberText(sumOf(choice as 'live', counts))),
    ['101,200+', '3', '3', '101,203+'],
  );
  assert.equal(numberText(sumOf(['running', 'failed'], counts)), '1,203');
});
