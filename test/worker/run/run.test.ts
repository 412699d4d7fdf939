import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AbortCause, LockLost, ShuttingDown, StopRequested, TimedOut } from '../../../shared/stop/cause.js';
import { Run } from '../../../worker/run/run.js';

const newRun = () =>
  new Run({ id: 'one', queue: 'q', name: 'a.task', item: '', token: 't', lockMs: 15_000, lockedAt: Date.now(), clock: Date });
const HEARD = { reason: 'why', by: 'who', at: 1 };

describe('Run', () => {
  const causes = {
    stop: () => new StopRequested(),
    timeout: () => new TimedOut(5),
    shutdown: () => new ShuttingDown(),
    'lock-lost': () => new LockLost(),
  } as const;
  const kinds = Object.keys(causes) as AbortCause['kind'][];
  const stronger = (first: AbortCause['kind'], second: AbortCause['kind']): AbortCause['kind'] => {
    if (first === 'lock-lost' || second === 'lock-lost') return 'lock-lost';
    return first === 'stop' || second === 'stop' ? 'stop' : first;
  };
  for (const first of kinds) {
    for (const second of kinds) {
      const winner = stronger(first, second);
      it(`after ${first} and then ${second}, the cause is ${winner}`, () => {
        const run = newRun();
        run.abort(causes[first]());
        run.abort(causes[second]());
        assert.equal(run.cause?.kind, winner);
      });
    }
  }

  it('aborts the signal once, with the first cause', () => {
    const run = newRun();
    let aborts = 0;
    run.signal.addEventListener('abort', () => (aborts += 1));
    run.abort(new TimedOut(5));
    run.requestStop(HEARD);
    assert.equal((run.signal.reason as AbortCause).kind, 'timeout');
    assert.equal(run.cause?.kind, 'stop');
    assert.equal(aborts, 1);
  });

  it('creates the signal on first use: aborted if the run is', () => {
    const run = newRun();
    run.requestStop(HEARD);
    const { signal } = run;
    assert.ok(signal.aborted);
    assert.ok(signal.reason instanceof StopRequested);
    assert.deepEqual([signal.reason.reason, signal.reason.by], ['why', 'who']);
    assert.doesNotMatch(signal.reason.stack ?? '', /^ +at /m, 'calls of the worker');
    assert.equal(run.signal, signal);
  });

  it('keeps the first stop', () => {
    const run = newRun();
    run.requestStop(HEARD);
    run.requestStop({ reason: 'other', by: null, at: 5 });
    assert.deepEqual(run.stop, HEARD);
    assert.equal((run.signal.reason as StopRequested).reason, 'why');
  });

  it('reports every abort to its listener, also an earlier one and one without effect', () => {
    const run = newRun();
    const received: string[] = [];
    run.abort(new TimedOut(5));
    run.onAbort(({ kind }) => received.push(kind));
    run.requestStop(HEARD);
    run.abort(new ShuttingDown());
    assert.deepEqual(received, ['timeout', 'stop', 'shutdown']);
    assert.equal(run.cause?.kind, 'stop');
  });

  it('ignores aborts after its end', () => {
    const run = newRun();
    const received: string[] = [];
    run.onAbort(({ kind }) => received.push(kind));
    run.end();
    run.requestStop(HEARD);
    run.abort(new LockLost());
    assert.deepEqual([run.cause, run.stop, run.signal.aborted, received], [null, null, false, []]);
  });
});
