import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Backlog } from '../../producer/backlog.js';
import { deferred } from '../support/deferred.js';

const MOST = 2_000;

/** Holds so many of a queue, until `answer` is called. */
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
  'any number is taken while answers come',
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
  'of a queue without an answer for a second no more are taken than the limit',
  withTicks(async (tick) => {
    const backlog = new Backlog();
    const few = hold(backlog, 'a', MOST - 1);
    tick(1_000);
    assert.equal(backlog.isFull('a'), false, 'there is room for one more');
    const last = hold(backlog, 'a', 1);
    assert.equal(backlog.isFull('a'), true);
    await few.answer();
    await last.answer();
    assert.equal(backlog.isFull('a'), false, 'and again once they were answered');
  }),
);

test(
  'a second of silence is needed',
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
  'an enqueue that fails is no answer, and is no longer counted',
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
  'a queue that answers is not held up by one that does not',
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
