import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Liveness } from '../../../dashboard/page/parts/shell/liveness.js';

const T = 1_000_000;
const AWAY = { away: true, problem: 'Redis is unavailable.' };
const SILENT = { away: false, problem: 'The dashboard cannot be reached.' };

test('a page is live once all its sources were heard, and stale after ten seconds without one of them', () => {
  const page = new Liveness(T);
  assert.equal(page.link(T).state, 'connecting');
  page.connecting('poll');
  page.heard('pulse', T + 100);
  assert.equal(page.link(T + 100).state, 'connecting');
  page.heard('poll', T + 200, 10_000);
  assert.equal(page.link(T + 200).state, 'live');
  page.heard('pulse', T + 9_000);
  assert.equal(page.link(T + 10_200).state, 'live');
  assert.deepEqual(page.link(T + 10_201), { state: 'stale', since: T + 200, problem: null });
  page.heard('poll', T + 11_000);
  assert.deepEqual(page.link(T + 11_000), { state: 'live', since: null, problem: null });
});

test('an answer that Redis is away makes a page stale at once, other failures after ten seconds', () => {
  const page = new Liveness(T);
  page.heard('pulse', T);
  page.failed('pulse', T + 4_000, SILENT);
  assert.equal(page.link(T + 4_000).state, 'lost');
  page.failed('pulse', T + 6_000, AWAY);
  assert.deepEqual(page.link(T + 6_000), { state: 'stale', since: T, problem: AWAY.problem });
  page.heard('pulse', T + 8_000);
  assert.equal(page.link(T + 8_000).state, 'live');
});

test('an open event stream may be silent; an interrupted one makes the page stale ten seconds later', () => {
  const page = new Liveness(T);
  page.heard('events', T, Infinity);
  for (const at of [T, T + 60_000]) page.heard('pulse', at);
  assert.equal(page.link(T + 60_000).state, 'live');
  page.failed('events', T + 60_000, SILENT);
  page.heard('pulse', T + 65_000);
  assert.equal(page.link(T + 65_000).state, 'lost');
  page.failed('events', T + 68_000, SILENT);
  page.heard('pulse', T + 70_000);
  assert.deepEqual(page.link(T + 70_001), { state: 'stale', since: T + 60_000, problem: SILENT.problem });
  page.forget('events');
  assert.equal(page.link(T + 70_001).state, 'live', 'the stream of a finished task has said everything');
});

test('a failure does not shorten the silence that a slow poll is allowed', () => {
  const page = new Liveness(T);
  page.heard('slow', T, 37_500);
  page.heard('fast', T + 14_000);
  page.failed('slow', T + 15_000, SILENT);
  assert.equal(page.link(T + 15_000).state, 'lost');
  page.heard('fast', T + 37_000);
  assert.deepEqual(page.link(T + 37_501), { state: 'stale', since: T, problem: SILENT.problem });
});

test('the time for which a page was hidden is no silence', () => {
  const page = new Liveness(T);
  page.heard('poll', T);
  page.wake(T + 3_600_000);
  assert.equal(page.link(T + 3_600_000).state, 'live');
  assert.deepEqual(page.link(T + 3_610_001), { state: 'stale', since: T, problem: null });
});

test('a page that was never answered is stale from its start', () => {
  const page = new Liveness(T);
  page.failed('pulse', T + 1_000, SILENT);
  assert.deepEqual(page.link(T + 10_001), { state: 'stale', since: T, problem: SILENT.problem });
});
