import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Attempt, AttemptOutcome } from '../../../shared/attempt/attempt.js';
import { failureOf } from '../../../shared/attempt/failure.js';
import type { TaskEvent } from '../../../shared/events/event.js';
import { EventHistory } from '../../../shared/events/history.js';
import type { TaskState } from '../../../shared/task/state.js';
import { foreignTask } from '../../../shared/task/task-reader.js';
import type { TaskView } from '../../../shared/task/view.js';

const at = (ms: number): Date => new Date(ms);

function ran(number: number, started: number, ended: number | null, outcome: AttemptOutcome | null, reason?: string): Attempt {
  const error = reason === undefined ? null : failureOf(new Error(reason));
  const retryAt = outcome === 'failed' && ended !== null ? at(ended + 5) : null;
  return { number, worker: null, startedAt: at(started), endedAt: ended === null ? null : at(ended), outcome, error, retryAt };
}

function task(state: TaskState, ...attempts: Attempt[]): TaskView {
  const ended = state === 'completed' || state === 'failed' ? (attempts.at(-1)?.endedAt ?? null) : null;
  return { ...foreignTask('one', null), queue: 'q', state, attempts, enqueuedAt: at(10), finishedAt: ended };
}

const running = (ms: number, attempt: number): TaskEvent => ({ type: 'state', id: `${ms}-0`, at: at(ms), state: 'running', attempt });
const queued = (ms: number): TaskEvent => ({ type: 'state', id: `${ms}-0`, at: at(ms), state: 'queued', attempt: null });
const retrying = (ms: number, attempt: number): TaskEvent => ({ type: 'state', id: `${ms}-0`, at: at(ms), state: 'retrying', attempt });
const chunk = (ms: number): TaskEvent => ({ type: 'chunk', id: `${ms}-1`, at: at(ms), chunk: 'word' });

function textOf(events: readonly TaskEvent[]): string {
  return events
    .map((event) => {
      if (event.type !== 'state') return event.type;
      const { state, attempt, error, nextAttemptAt } = event;
      return [state, ...(attempt === null ? [] : [attempt]), ...(error ? [error.message, nextAttemptAt?.getTime()] : [])].join(':');
    })
    .join(' ');
}

/** Returns the events of a task, from its record and these entries of its stream. */
function historyOf(view: TaskView, ...entries: TaskEvent[]): string {
  const history = new EventHistory();
  history.learn(view);
  return textOf([...history.merge(entries), ...history.rest()]);
}

describe('The history of a task', () => {
  const [first, second] = [ran(1, 20, 30, 'failed', 'no answer'), ran(2, 40, 50, 'timed_out', 'too slow')];

  it('has each recorded attempt with its error and next time, with and without output', () => {
    const known = 'queued running:1 retrying:1:no answer:35 running:2';
    assert.equal(historyOf(task('running', first, ran(2, 40, null, null))), known);
    assert.equal(historyOf(task('failed', first, second)), known);
    assert.equal(
      historyOf(task('completed', first, ran(2, 40, 50, 'completed')), running(21, 1), chunk(22), running(41, 2), chunk(42), chunk(43)),
      'queued running:1 chunk retrying:1:no answer:35 running:2 chunk chunk',
    );
    assert.equal(historyOf(task('queued')), 'queued');
    assert.equal(historyOf(task('scheduled')), '');
  });

  it('keeps output with its attempt, even if all was in the same millisecond or the worker has another clock', () => {
    const quick = task('running', ran(1, 20, 20, 'failed', 'at once'), ran(2, 20, null, null));
    assert.equal(
      historyOf(quick, running(20, 1), chunk(20), running(20, 2), chunk(20)),
      'queued running:1 chunk retrying:1:at once:25 running:2 chunk',
    );
    const early = task('retrying', ran(1, 20, 21, 'failed', 'no answer'));
    assert.equal(historyOf(early, running(22, 1), chunk(23)), 'queued running:1 chunk retrying:1:no answer:26');
  });

  it('names runs that do not count, lost workers and retries by people', () => {
    const handedBack = task('running', ran(1, 20, 30, 'requeued'), ran(1, 40, null, null));
    assert.equal(historyOf(handedBack, running(21, 1), chunk(22), running(41, 1)), 'queued running:1 chunk queued:1 running:1');
    assert.equal(
      historyOf(task('running', ran(1, 20, 30, 'worker_lost'), ran(2, 40, null, null))),
      'queued running:1 retrying:1 running:2',
    );
    const retried = task('running', first, ran(2, 40, 50, 'failed', 'for good'), ran(1, 70, null, null));
    assert.equal(
      historyOf(retried, running(21, 1), chunk(22), queued(60), running(71, 1), chunk(72)),
      'queued running:1 chunk retrying:1:no answer:35 running:2 retrying:2:for good:55 queued running:1 chunk',
    );
  });

  it('goes on with a newer record, each change once, whichever source tells it first', () => {
    const history = new EventHistory();
    history.learn(task('running', ran(1, 20, null, null)));
    assert.equal(textOf([...history.merge([running(21, 1)]), ...history.rest()]), 'queued running:1');
    history.learn(task('running', first, ran(2, 40, null, null)));
    assert.equal(
      textOf([...history.merge([chunk(25), retrying(41, 1), running(42, 2)]), ...history.rest()]),
      'chunk retrying:1:no answer:35 running:2',
    );
    history.learn(task('running', first, ran(2, 40, null, null)));
    assert.equal(textOf([...history.merge([chunk(43)]), ...history.rest()]), 'chunk');
  });

  it('can be cut at a time, or left out for a follower who resumes', () => {
    const view = task('running', first, ran(2, 40, null, null));
    const until = new EventHistory();
    until.learnUntil(view, at(35));
    assert.equal(textOf(until.rest()), 'queued running:1 retrying:1:no answer:35');
    const resumed = new EventHistory();
    resumed.skip(view);
    assert.equal(textOf([...resumed.merge([chunk(25), retrying(41, 1)]), ...resumed.rest()]), 'chunk retrying:1:no answer:35');
    resumed.learn(task('retrying', first, second));
    assert.equal(textOf(resumed.rest()), 'retrying:2:too slow:');
  });
});
