import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Worker } from '../../../dashboard/page/parts/api-types.js';
import { concernsOf, healthOf, memory, onlyTakenBy } from '../../../dashboard/page/parts/worker/worker-state.js';

const NOW = Date.parse('2026-11-30T06:00:00Z');
const BASE: Worker = {
  ...{ id: 'w1', alive: true, host: 'h', pid: 1, queues: ['chat'], maintenance: true, slots: 10, running: [], zombies: 0, draining: false },
  ...{ fetching: true, drained: null, subscribed: true, stops: 0, stop_p50_ms: null, stop_p99_ms: null, stop_max_ms: null },
  ...{ memory_bytes: 1, heap_bytes: 10, heap_limit_bytes: 100, loop_delay_ms: 1, threads: 0, version: '1', node: 'v20', definitions: 3 },
  ...{ definitions_differ: [], broken: [], log_error: null, clock_ms: 0, last_words: null, problem: null },
  ...{ started_at: '2026-11-30T05:00:00.000Z', beat_at: '2026-11-30T05:59:58.000Z' },
};
const DRAINED = { by: 'ada', at: '2026-11-30T05:59:00.000Z', reason: null };

test('the state of a worker is one word', () => {
  const states: readonly (readonly [Partial<Worker>, string])[] = [
    [{}, '● up'],
    [{ drained: DRAINED }, '◐ draining'],
    [{ drained: DRAINED, fetching: false, running: ['t'] }, '◐ draining'],
    [{ drained: DRAINED, fetching: false }, '‖ drained'],
    [{ fetching: false }, '◐ resuming'],
    [{ draining: true, fetching: false }, '◐ shutting down'],
    [{ beat_at: '2026-11-30T05:59:00.000Z' }, '✕ silent for 1 min'],
    [{ problem: 'pid: expected a whole number' }, '✕ unreadable'],
    // A worker of an older version says neither.
    [{ fetching: null, maintenance: null }, '● up'],
  ];
  for (const [more, text] of states) assert.equal(healthOf({ ...BASE, ...more }, NOW).text, text);
});

test('what to look at is said in a few words, and nothing if all is well', () => {
  assert.deepEqual(concernsOf(BASE), []);
  const bad = {
    ...{ subscribed: false, zombies: 1, loop_delay_ms: 950, heap_bytes: 95, clock_ms: -8_000, log_error: 'ENOSPC' },
    ...{ broken: [{ queue: 'chat', problem: 'wait holds a hash' }], definitions_differ: ['a.b', 'c.d'] },
  };
  assert.deepEqual(concernsOf({ ...BASE, ...bad }), [
    'cannot fetch from chat: wait holds a hash',
    'not subscribed to stops: polls for them',
    '1 abandoned handler still runs',
    'event loop is busy: delay 950 ms',
    'heap is 95 % full',
    'clock 8 s behind',
    'cannot write its log: ENOSPC',
    'differs: a.b, c.d',
  ]);
});

test('queues that only this worker takes are those without another that fetches', () => {
  const other = { ...BASE, id: 'w2' };
  assert.deepEqual(onlyTakenBy(BASE, [BASE]), ['chat', 'maintenance']);
  assert.deepEqual(onlyTakenBy(BASE, [BASE, other]), []);
  assert.deepEqual(onlyTakenBy(BASE, [BASE, { ...other, maintenance: false }]), ['maintenance']);
  for (const more of [{ alive: false }, { drained: DRAINED }, { draining: true }, { fetching: false }])
    assert.deepEqual(onlyTakenBy(BASE, [BASE, { ...other, ...more }]), ['chat', 'maintenance']);
});

test('memory is shown in MB, then GB', () => {
  assert.deepEqual([memory(212 * 1_048_576), memory(1_434 * 1_048_576)], ['212 MB', '1.4 GB']);
});
