import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { isFleetError, messageOf } from '../../../shared/errors.js';
import { defineTask } from '../../../shared/task/definition.js';
import { parseDuration } from '../../../shared/time.js';

const input = z.object({ tenant: z.string(), tokens: z.number().default(1) });
const BASE = { name: 'chat', input } as const;

function problemOf(options: object): string {
  try {
    defineTask({ ...BASE, ...options });
  } catch (error) {
    assert.ok(isFleetError(error, 'INVALID_DEFINITION'), String(error));
    return messageOf(error).replace('Bad task definition "chat": ', '');
  }
  throw new assert.AssertionError({ message: 'the definition was accepted' });
}

test('a limit may be given alone or in a list, and its defaults are filled in', () => {
  const one = defineTask({ ...BASE, concurrency: { by: 'item', limit: 1 }, rate: { limit: 60, per: '1m' }, whenBusy: 'replace-waiting' });
  assert.deepEqual(one.concurrency, [{ by: 'item', limit: 1, maxWaiting: null, group: null }]);
  assert.deepEqual(one.rate, [{ by: null, limit: 60, perMs: 60_000, burst: 6, cost: null, group: null }]);
  assert.equal(one.whenBusy, 'replace-waiting');
  const by = (task: { input: { tenant: string; tokens: number } }): string => task.input.tenant;
  const cost = (task: { input: { tokens: number } }): number => task.input.tokens;
  const many = defineTask({
    ...BASE,
    concurrency: [{ by, limit: 5, maxWaiting: 0, group: 'gpu' }, { limit: 100 }],
    rate: [
      { limit: 5, per: 250 },
      { limit: 90_000, per: '1.5h', burst: 90_000, by: 'item', cost },
    ],
    fair: { by },
  });
  assert.deepEqual(many.concurrency, [
    { by, limit: 5, maxWaiting: 0, group: 'gpu' },
    { by: null, limit: 100, maxWaiting: null, group: null },
  ]);
  assert.deepEqual(many.rate, [
    { by: null, limit: 5, perMs: 250, burst: 1, cost: null, group: null },
    { by: 'item', limit: 90_000, perMs: 5_400_000, burst: 90_000, cost, group: null },
  ]);
  assert.deepEqual(many.fair, { by });
  assert.ok([many.concurrency[0], many.rate[1], many.fair].every((part) => Object.isFrozen(part)));
});

test('the functions of limits see the parsed input', () => {
  // Does not compile if the input lacks a field, or the default is not filled in.
  const typed = defineTask({
    ...BASE,
    concurrency: { by: (task) => `${task.input.tenant.trim()}:${task.item ?? 'none'}`, limit: 1 },
    rate: { limit: 1, per: '1s', cost: (task) => task.input.tokens.valueOf() },
    fair: { by: ({ input: { tenant } }) => tenant },
  });
  assert.equal(typed.concurrency.length, 1);
});

test('each wrong field of a limit is named', () => {
  const wrong: [object, RegExp][] = [
    [{ concurrency: { by: 'item' } }, /^concurrency\.0\.limit: /],
    [{ concurrency: [{ limit: 1 }, { by: 'item', limit: 0 }] }, /^concurrency\.1\.limit: /],
    [{ concurrency: { by: 'tenant', limit: 1 } }, /^concurrency\.0\.by: expected 'item' or a function/],
    [{ concurrency: { limit: 1, maxWaiting: -1 } }, /^concurrency\.0\.maxWaiting: /],
    [{ concurrency: { limit: 1, group: 'a:b' } }, /^concurrency\.0\.group: expected letters/],
    [{ concurrency: { limit: 1, key: 'x' } }, /^concurrency\.0: .*"key"/],
    [{ concurrency: Array.from({ length: 9 }, (_, index) => ({ limit: 1, group: `g${index}` })) }, /^concurrency: .*8/],
    [{ concurrency: [{ limit: 1 }, { limit: 2, group: 'a' }, { limit: 3 }] }, /^concurrency\.2: limits the same tasks as entry 0/],
    [{ rate: { limit: 1 } }, /^rate\.0\.per: expected a duration/],
    [{ rate: { limit: 1, per: 'a minute' } }, /^rate\.0\.per: expected a duration such as '1m'/],
    [{ rate: { limit: 1, per: '32d' } }, /^rate\.0\.per: .*31 days/],
    [{ rate: { limit: 2, per: '1s', burst: 3 } }, /^rate\.0\.burst: expected at most limit/],
    [{ rate: { limit: 2, per: '1s', cost: 5 } }, /^rate\.0\.cost: expected a function/],
    [{ fair: {} }, /^fair\.by: expected 'item' or a function/],
    [{ concurrency: { limit: 1 }, whenBusy: 'queue' }, /^whenBusy: /],
    [{ whenBusy: 'wait' }, /^whenBusy: expected 'reject' or 'stop-previous', got 'wait', which needs/],
    [{ whenBusy: 'replace-waiting', fair: { by: 'item' } }, /^whenBusy: .* needs a definition with concurrency/],
  ];
  for (const [options, problem] of wrong) assert.match(problemOf(options), problem);
});

test('durations are parsed in their unit', () => {
  const parsed = ['500ms', '1.5s', '1m', '2 h', '1d', '0s'].map(parseDuration);
  assert.deepEqual(parsed, [500, 1_500, 60_000, 7_200_000, 86_400_000, 0]);
  for (const bad of ['', '1', 'm', '1 min', '-1s', '1e3s', '1m ']) assert.equal(parseDuration(bad), null, bad);
});
