import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DelayedError, RateLimitError, UnrecoverableError, WaitingChildrenError, WaitingError } from 'bullmq';
import { LockLost, ShuttingDown, StopRequested, TimedOut } from '../../../../shared/stop/cause.js';
import { type HandlerEnd, decideOutcome } from '../../../../worker/run/outcome.js';

const RULES = { retryOnTimeout: false, retry: { except: [] } };
const OWN_ERROR = new Error('its own');
const ENDS = {
  returned: { kind: 'returned', value: 7 },
  threw: { kind: 'threw', error: OWN_ERROR },
  abandoned: { kind: 'abandoned' },
} satisfies Record<string, HandlerEnd>;

const TABLE = [
  { after: 'a stop', cause: new StopRequested(), outcomes: { returned: 'cancel', threw: 'cancel', abandoned: 'cancel' } },
  { after: 'a lost lock', cause: new LockLost(), outcomes: { returned: 'drop', threw: 'drop', abandoned: 'drop' } },
  { after: 'a timeout', cause: new TimedOut(5), outcomes: { returned: 'fail', threw: 'fail', abandoned: 'fail' } },
  { after: 'a shutdown', cause: new ShuttingDown(), outcomes: { returned: 'complete', threw: 'requeue', abandoned: 'requeue' } },
  { after: 'no abort', cause: null, outcomes: { returned: 'complete', threw: 'fail' } },
] as const;

describe('decideOutcome', () => {
  for (const { after, cause, outcomes } of TABLE) {
    for (const [end, expected] of Object.entries(outcomes)) {
      it(`after ${after}, a handler that ${end === 'abandoned' ? 'was abandoned' : end} means ${expected}`, () => {
        assert.equal(decideOutcome(cause, ENDS[end as keyof typeof ENDS], RULES).kind, expected);
      });
    }
  }

  it('keeps the result or the error of the handler', () => {
    assert.deepEqual(decideOutcome(null, ENDS.returned, RULES), { kind: 'complete', value: 7 });
    const failed = decideOutcome(null, ENDS.threw, RULES);
    assert.ok(failed.kind === 'fail' && failed.error === OWN_ERROR);
  });

  it('lets a timed-out task be retried only if its definition says so', () => {
    const cause = new TimedOut(5);
    const once = decideOutcome(cause, ENDS.threw, RULES);
    assert.ok(once.kind === 'fail' && once.error instanceof UnrecoverableError);
    assert.equal(once.error.message, 'Timed out after 5 ms');
    const again = decideOutcome(cause, ENDS.threw, { ...RULES, retryOnTimeout: true });
    assert.ok(again.kind === 'fail' && again.error === cause);
  });

  it('turns any thrown value into an error', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const thrown = [
      ['text', 'text'],
      [undefined, 'the handler threw undefined'],
      [{ code: 5 }, 'the handler threw { code: 5 }'],
      [null, 'the handler threw null'],
      [1n, 'the handler threw 1n'],
      [circle, 'the handler threw <ref *1> { self: [Circular *1] }'],
    ] as const;
    for (const [error, message] of thrown) {
      const outcome = decideOutcome(null, { kind: 'threw', error }, RULES);
      assert.ok(outcome.kind === 'fail' && outcome.error instanceof Error);
      assert.equal(outcome.error.message, message);
    }
  });

  it('fails for good after an error excluded from retries, with its message and stack', () => {
    const error = new RangeError('too far');
    const outcome = decideOutcome(null, { kind: 'threw', error }, { ...RULES, retry: { except: ['RangeError'] } });
    assert.ok(outcome.kind === 'fail' && outcome.error instanceof UnrecoverableError);
    assert.deepEqual([outcome.error.message, outcome.error.stack], ['too far', error.stack]);
  });

  it('wraps errors that BullMQ would misread as a moved job', () => {
    for (const error of [new WaitingError(), new DelayedError(), new WaitingChildrenError(), new RateLimitError()]) {
      const outcome = decideOutcome(null, { kind: 'threw', error }, RULES);
      assert.ok(outcome.kind === 'fail');
      assert.deepEqual([outcome.error.name, outcome.error.message], ['Error', `the handler threw ${error.name}: ${error.message}`]);
    }
  });

  it('refuses to decide on a handler that was abandoned without a cause', () => {
    assert.throws(() => decideOutcome(null, ENDS.abandoned, RULES), /without an abort cause/);
  });
});
