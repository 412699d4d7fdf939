import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Backlog } from '../../../producer/calls.js';
import { deferred } from '../../support/deferred.js';

const MOST = 2_000;

/** Holds `count` enqueues of a queue until `answer` is called. */
function hold(backlog: Backlog, queue: string, count: number): { answer(): Promise<void> } {
  const { promise, resolve } = deferred();
  const held = Array.from({ length: count }, () => backlog.hold(queue, () => promise));
  return {
    answer: async () => {
      resolve();
      await Promise.all(held);
    },
  };
}

function withTicks(work: (tick: (ms: number) => void) => Promise<void>): () => Promise<void> {
  return async () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      await work((ms) => mock.timers.tick(ms));
    } finally {
      mock.timers.reset();
    }
  };
}

test(
  'accepts any number of enqueues while replies arrive',
  withTicks(async (tick) => {
    const backlog = new Backlog();
    const many = hold(backlog, 'a', 10 * MOST);
    for (let second = 0; second < 5; second += 1) {
      tick(900);
      assert.equal(backlog.isFull('a'), false);
      await backlog.hold('a', () => Promise.resolve());
    }
    assert.equal(backlog.waiting, 10 * MOST);
    await many.answer();
    assert.equal(backlog.waiting, 0);
  }),
);

test(
  'limits a queue that has had no reply for a second',
  withTicks(async (tick) => {
    const backlog = new Backlog();
    const few = hold(backlog, 'a', MOST - 1);
    tick(1_000);
    assert.equal(backlog.isFull('a'), false, 'one more enqueue is accepted');
    const last = hold(backlog, 'a', 1);
    assert.equal(backlog.isFull('a'), true);
    await few.answer();
    await last.answer();
    assert.equal(backlog.isFull('a'), false, 'accepts again after the replies');
  }),
);

test(
  'does not limit a queue before a second of silence',
  withTicks(async (tick) => {
    const backlog = new Backlog();
    const many = hold(backlog, 'a', MOST);
    tick(900);
    assert.equal(backlog.isFull('a'), false);
    tick(100);
    assert.equal(backlog.isFull('a'), true);
    await backlog.hold('a', () => Promise.resolve());
    assert.equal(backlog.isFull('a'), false);
    await many.answer();
  }),
);

test(
  'does not count a failed enqueue as a reply or as pending',
  withTicks(async (tick) => {
    const backlog = new Backlog();
    const many = hold(backlog, 'a', MOST);
    tick(1_000);
    await assert.rejects(
      backlog.hold('a', () => Promise.reject(new Error('lost'))),
      /lost/,
    );
    assert.deepEqual([backlog.isFull('a'), backlog.waiting], [true, MOST]);
    await many.answer();
  }),
);

test(
  'does not limit a queue because of another silent one',
  withTicks(async (tick) => {
    const backlog = new Backlog();
    const silent = hold(backlog, 'a', MOST);
    const other = hold(backlog, 'b', 1);
    tick(900);
    await backlog.hold('b', () => Promise.resolve());
    tick(100);
    assert.deepEqual(
      ['a', 'b', 'c'].map((queue) => backlog.isFull(queue)),
      [true, false, false],
    );
    await Promise.all([silent.answer(), other.answer()]);
  }),
);
