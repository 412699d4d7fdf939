import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Grace } from '../../../worker/run/time-limits.js';

describe('Grace', () => {
  it('is over after its limit, once', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let over = 0;
    const grace = new Grace(() => (over += 1));
    t.mock.timers.tick(60_000);
    assert.equal(over, 0);
    grace.limit(50);
    t.mock.timers.tick(49);
    assert.equal(over, 0);
    t.mock.timers.tick(60_000);
    assert.equal(over, 1);
  });

  it('is shortened by a shorter limit and not prolonged by a longer one', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let over = 0;
    const grace = new Grace(() => (over += 1));
    grace.limit(5_000);
    grace.limit(1_000);
    grace.limit(5_000);
    t.mock.timers.tick(999);
    assert.equal(over, 0);
    t.mock.timers.tick(1);
    assert.equal(over, 1);
  });

  it('is never over once it is cancelled', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const grace = new Grace(() => assert.fail('it is over'));
    grace.limit(10);
    grace.cancel();
    t.mock.timers.tick(60_000);
  });
});
