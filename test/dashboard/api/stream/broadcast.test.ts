import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Broadcast } from '../../../../dashboard/api/stream/broadcast.js';

const open = (limits = {}): Broadcast<string> => new Broadcast<string>({ entries: 3, size: 100, ...limits });
const never = new AbortController().signal;

test('entries can be read by number repeatedly', () => {
  const log = open();
  for (const entry of ['a', 'b', 'c']) log.push(entry);
  assert.deepEqual([log.from(0, 10), log.from(1, 10), log.from(3, 10), log.next], [['a', 'b', 'c'], ['b', 'c'], [], 3]);
});

test('a reader that falls behind the buffer gets null', () => {
  const log = open();
  for (const entry of ['a', 'b', 'c', 'd']) log.push(entry);
  assert.deepEqual([log.from(0, 10), log.from(1, 10)], [null, ['b', 'c', 'd']]);
});

test('the buffer keeps at most its size, but always one entry', () => {
  const log = open();
  log.push('a', 60);
  log.push('b', 60);
  assert.deepEqual([log.from(0, 10), log.from(1, 10)], [null, ['b']]);
  log.push('c', 1_000);
  assert.deepEqual(log.from(2, 10), ['c']);
});

test('a read returns at most the given size, and at least one entry', () => {
  const log = open();
  for (const entry of ['a', 'b', 'c']) log.push(entry, 10);
  assert.deepEqual([log.from(0, 5), log.from(0, 20), log.from(2, 20)], [['a'], ['a', 'b'], ['c']]);
});

test('a waiting reader is woken by an entry, by the end, and by its own signal', async () => {
  const log = open();
  const own = new AbortController();
  const waits = [log.more(0, never), log.more(0, own.signal)];
  own.abort();
  await waits[1];
  log.push('a');
  await waits[0];
  await log.more(0, never);
  const last = log.more(1, never);
  log.end();
  await last;
  await log.more(1, never);
  assert.ok(log.ended);
});
