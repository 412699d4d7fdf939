import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoffs } from 'bullmq';
import { z } from 'zod';
import { RetryAfter } from '../../../../shared/attempt/retry-after.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { jobOptions } from '../../../../shared/task/job-options.js';
import { delayAfter, retryDelay } from '../../../../worker/run/outcome.js';
import { KEEP } from '../../../support/task/keep.js';

const HOUR_MS = 3_600_000;

/** Returns the backoff of a definition after each of these attempts. */
function delays(
  backoff: NonNullable<Parameters<typeof defineTask>[0]['retry']>['backoff'],
  attempts: readonly number[],
  random = 0,
): number[] {
  const options = jobOptions(
    defineTask({ name: 'a', input: z.unknown(), retry: { attempts: 100, backoff: backoff ?? {} }, retention: KEEP }),
  );
  return attempts.map((attempt) => retryDelay(options.backoff, attempt, random));
}

test('a fixed backoff is the same after each attempt', () => {
  assert.deepEqual(delays({ type: 'fixed', delayMs: 70, jitter: 0 }, [1, 2, 99]), [70, 70, 70]);
});

test('an exponential backoff doubles up to one hour or the maximum of the definition', () => {
  assert.deepEqual(delays({ jitter: 0 }, [1, 2, 3, 12, 13, 99]), [1_000, 2_000, 4_000, 2_048_000, HOUR_MS, HOUR_MS]);
  assert.deepEqual(delays({ delayMs: 10, maxDelayMs: 25, jitter: 0 }, [1, 2, 3, 99]), [10, 20, 25, 25]);
  assert.deepEqual(delays({ delayMs: 2 * HOUR_MS, jitter: 0 }, [1, 2]), [2 * HOUR_MS, 2 * HOUR_MS]);
  assert.deepEqual(delays({ delayMs: 0 }, [1, 99]), [0, 0]);
});

test('jitter subtracts up to its share, also at the maximum', () => {
  for (const type of ['fixed', 'exponential'] as const) {
    assert.deepEqual(delays({ type, delayMs: 100, maxDelayMs: 100, jitter: 0.2 }, [1, 50], 0), [80, 80]);
    assert.deepEqual(delays({ type, delayMs: 100, maxDelayMs: 100, jitter: 0.2 }, [1, 50], 0.5), [90, 90]);
    assert.deepEqual(delays({ type, delayMs: 100, jitter: 1 }, [1], 0), [0]);
  }
  const [first, second] = [
    retryDelay({ type: 'fixed', delay: 1e9, jitter: 1 }, 1),
    retryDelay({ type: 'fixed', delay: 1e9, jitter: 1 }, 1),
  ];
  assert.notEqual(first, second, 'it is random');
});

test('below the maximum, the backoff equals that of BullMQ', (t) => {
  for (const random of [0, 0.25, 0.75]) {
    t.mock.method(Math, 'random', () => random);
    for (const type of ['fixed', 'exponential']) {
      for (const jitter of [0, 0.2, 0.5, 1]) {
        for (const attempt of [1, 2, 7, 12]) {
          const backoff = { type, delay: 1_000, jitter };
          assert.equal(
            retryDelay(backoff, attempt),
            Backoffs.calculate(backoff, attempt, new Error('no'), null as never),
            `${type} ${jitter} ${attempt} ${random}`,
          );
        }
      }
    }
  }
});

test('a foreign job may have no backoff, a number, or an unknown type, which doubles', () => {
  assert.equal(retryDelay(undefined, 3), 0);
  assert.equal(retryDelay(40, 3), 40);
  assert.equal(retryDelay({ type: 'theirs', delay: 10 }, 3), 40);
  assert.equal(retryDelay({ type: 'theirs' }, 1), 1_000);
  assert.equal(retryDelay({ type: 'exponential', delay: 10 }, 5), 160);
});

test('a RetryAfter replaces the backoff, with its exact delay or time', () => {
  const backoff = { type: 'fixed', delay: 50 };
  const now = 1_000_000;
  assert.equal(delayAfter(new RetryAfter(700), backoff, 1, now), 700);
  assert.equal(delayAfter(new RetryAfter(10.2), backoff, 1, now), 11);
  assert.equal(delayAfter(new RetryAfter(0), backoff, 1, now), 0);
  assert.equal(delayAfter(new RetryAfter(new Date(now + 9_000)), undefined, 1, now), 9_000);
  assert.equal(delayAfter(new RetryAfter(new Date(now - 1)), backoff, 1, now), 0, 'a time that has passed');
  const copy = Object.assign(new Error('of another copy'), { name: 'RetryAfter', wait: { ms: 700 }, countAttempt: true });
  assert.equal(delayAfter(copy, backoff, 1, now), 700);
  const lookalike = Object.assign(new Error('of others'), { name: 'RetryAfter', wait: 700 });
  assert.equal(delayAfter(lookalike, backoff, 1, now), 50);
});

test('a RetryAfter refuses anything but a Date or ms up to ten years', () => {
  for (const when of [-1, Number.NaN, Infinity, 1e15, new Date(Number.NaN), '8' as never])
    assert.throws(() => new RetryAfter(when), { code: 'INVALID_OPTION' });
});
