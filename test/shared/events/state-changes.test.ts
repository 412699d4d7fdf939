import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TaskEvent } from '../../../shared/events/event.js';
import { StateChanges } from '../../../shared/events/state-changes.js';
import type { TaskState } from '../../../shared/task/state.js';
import { foreignTask } from '../../../shared/task/task-reader.js';
import type { TaskView } from '../../../shared/task/view.js';

const AT = new Date(1);
const stream = (state: TaskState, attempt?: number): TaskEvent => ({
  type: 'state',
  id: '1-1',
  at: AT,
  state,
  attempt: attempt ?? null,
});
const seen = (state: TaskState, attempt = 0): TaskView => ({ ...foreignTask('one', null), state, attempt });
const chunk: TaskEvent = { type: 'chunk', id: '1-1', at: AT, chunk: 'a word' };

/** Returns the reported changes of this sequence of events and reads of the task. */
function changesIn(...sequence: readonly (TaskEvent | TaskView)[]): string[] {
  const changes = new StateChanges();
  return sequence.flatMap((entry) => {
    if (!('type' in entry ? changes.isNews(entry) : changes.isChange(entry))) return [];
    return 'state' in entry ? [`${entry.state} ${entry.attempt || ''}`.trim()] : [entry.type];
  });
}

describe('StateChanges', () => {
  it('distinguishes attempts, with and without a retry between them', () => {
    assert.deepEqual(changesIn(stream('running', 1), chunk, stream('retrying', 1), stream('running', 2), chunk), [
      'running 1',
      'chunk',
      'retrying 1',
      'running 2',
      'chunk',
    ]);
    assert.deepEqual(changesIn(stream('running', 1), chunk, stream('running', 2), chunk), ['running 1', 'chunk', 'running 2', 'chunk']);
  });

  it('ignores late events of an attempt once the next one runs', () => {
    assert.deepEqual(changesIn(stream('running', 1), chunk, stream('running', 2), stream('retrying', 1), chunk), [
      'running 1',
      'chunk',
      'running 2',
      'chunk',
    ]);
    assert.deepEqual(changesIn(seen('running', 1), seen('running', 2), stream('retrying', 1)), ['running 1', 'running 2']);
  });

  it('reports a change once, from the stream or a read', () => {
    assert.deepEqual(
      changesIn(seen('running', 1), stream('running', 1), chunk, seen('running', 1), seen('retrying', 1), stream('retrying', 1)),
      ['running 1', 'chunk', 'retrying 1'],
    );
    assert.deepEqual(changesIn(stream('stopping'), seen('stopping'), stream('stopping')), ['stopping']);
  });

  it('treats a repeated attempt as a new run', () => {
    assert.deepEqual(changesIn(stream('running', 1), chunk, stream('running', 1), chunk), ['running 1', 'chunk', 'running 1', 'chunk']);
  });

  it('replays the attempts for a follower who joins during the second', () => {
    assert.deepEqual(changesIn(seen('running', 2), stream('running', 1), chunk, stream('retrying', 1), stream('running', 2)), [
      'running 2',
      'running 1',
      'chunk',
      'retrying 1',
      'running 2',
    ]);
  });

  it('restarts the attempt count of a retried task, and does not report its earlier end', () => {
    assert.deepEqual(
      changesIn(stream('running', 2), chunk, stream('failed'), stream('queued'), stream('running', 1), chunk, stream('retrying', 1)),
      ['running 2', 'chunk', 'queued', 'running 1', 'chunk', 'retrying 1'],
    );
    assert.deepEqual(changesIn(stream('running', 2), chunk, stream('queued'), stream('retrying', 1)), [
      'running 2',
      'chunk',
      'queued',
      'retrying 1',
    ]);
  });

  it('handles states without an attempt number', () => {
    assert.deepEqual(changesIn(seen('running', 1), stream('running'), chunk, stream('retrying'), stream('running'), chunk), [
      'running 1',
      'chunk',
      'retrying',
      'running',
      'chunk',
    ]);
  });
});
