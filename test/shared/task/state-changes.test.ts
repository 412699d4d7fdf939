import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StateChanges, type TaskEvent } from '../../../shared/task/event-stream.js';
import type { TaskState } from '../../../shared/task/state.js';
import { foreignTask } from '../../../shared/task/task-reader.js';
import type { TaskView } from '../../../shared/task/view.js';

const stream = (state: TaskState, attempt?: number): TaskEvent => ({
  type: 'state',
  id: '1-1',
  state,
  ...(attempt !== undefined && { attempt }),
});
const seen = (state: TaskState, attempt = 0): TaskView => ({ ...foreignTask('one', null), state, attempt });
const chunk: TaskEvent = { type: 'chunk', id: '1-1', chunk: 'a word' };

/** Which of these are news, in this order: events as they come, and the task as it is read in between. */
function newsOf(...said: readonly (TaskEvent | TaskView)[]): string[] {
  const changes = new StateChanges();
  return said.flatMap((one) => {
    const event = 'type' in one ? changes.isNews(one) && one : changes.ofTask(one);
    if (!event) return [];
    return event.type === 'state' ? [`${event.state} ${event.attempt ?? ''}`.trim()] : [event.type];
  });
}

describe('StateChanges', () => {
  it('tells the attempts apart, with and without a retry between them', () => {
    assert.deepEqual(newsOf(stream('running', 1), chunk, stream('retrying', 1), stream('running', 2), chunk), [
      'running 1',
      'chunk',
      'retrying 1',
      'running 2',
      'chunk',
    ]);
    assert.deepEqual(newsOf(stream('running', 1), chunk, stream('running', 2), chunk), ['running 1', 'chunk', 'running 2', 'chunk']);
  });

  it('has heard enough of an attempt when the next one runs', () => {
    assert.deepEqual(newsOf(stream('running', 1), chunk, stream('running', 2), stream('retrying', 1), chunk), [
      'running 1',
      'chunk',
      'running 2',
      'chunk',
    ]);
    assert.deepEqual(newsOf(seen('running', 1), seen('running', 2), stream('retrying', 1)), ['running 1', 'running 2']);
  });

  it('says once what it hears from both sides', () => {
    assert.deepEqual(
      newsOf(seen('running', 1), stream('running', 1), chunk, seen('running', 1), seen('retrying', 1), stream('retrying', 1)),
      ['running 1', 'chunk', 'retrying 1'],
    );
    assert.deepEqual(newsOf(stream('stopping'), seen('stopping'), stream('stopping')), ['stopping']);
  });

  it('takes an attempt that speaks anew for a new run', () => {
    assert.deepEqual(newsOf(stream('running', 1), chunk, stream('running', 1), chunk), ['running 1', 'chunk', 'running 1', 'chunk']);
  });

  it('goes through the attempts again for one who comes during the second', () => {
    assert.deepEqual(newsOf(seen('running', 2), stream('running', 1), chunk, stream('retrying', 1), stream('running', 2)), [
      'running 2',
      'running 1',
      'chunk',
      'retrying 1',
      'running 2',
    ]);
  });

  it('counts the attempts of a task that was brought back anew, and takes no end for its end', () => {
    assert.deepEqual(
      newsOf(stream('running', 2), chunk, stream('failed'), stream('queued'), stream('running', 1), chunk, stream('retrying', 1)),
      ['running 2', 'chunk', 'queued', 'running 1', 'chunk', 'retrying 1'],
    );
    assert.deepEqual(newsOf(stream('running', 2), chunk, stream('queued'), stream('retrying', 1)), [
      'running 2',
      'chunk',
      'queued',
      'retrying 1',
    ]);
  });

  it('understands states without a number', () => {
    assert.deepEqual(newsOf(seen('running', 1), stream('running'), chunk, stream('retrying'), stream('running'), chunk), [
      'running 1',
      'chunk',
      'retrying',
      'running',
      'chunk',
    ]);
  });
});
