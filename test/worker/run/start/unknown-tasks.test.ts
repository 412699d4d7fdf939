import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import type { Outcome } from '../../../../worker/run/outcome.js';
import { UnknownTasks } from '../../../../worker/run/start/unknown-tasks.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const known = new ScriptedTask('mix.known');
const unknown = new ScriptedTask('mix.unknown', { retry: { attempts: 2, backoff: { delayMs: 0 } } });

describe('A task without a handler on a worker', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(async () => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    log = new LogLines();
    await fleet.worker(prefix, [known.handler], { loggers: log.loggers });
  });
  after(() => fleet.stop());

  /** Waits until the worker has deferred the task. */
  const defer = (id: string) =>
    until(
      () => producer.get(id),
      (view) => view?.state === 'scheduled' && view.error !== null,
    );

  it('is deferred without an attempt, with the reason, and runs on a worker with a handler', async () => {
    const { id } = await producer.enqueue(unknown.definition, {}, { item: 'chat-1' });
    const view = await defer(id);
    assert.deepEqual([view?.attempt, view?.maxAttempts], [0, 2]);
    assert.match(view?.error ?? '', /^No handler for mix\.unknown on this worker; it has .*mix\.known/);
    assert.equal(await fleet.client.hget(`${prefix}:tasks`, id), 'chat-1', 'it is still live');
    await fleet.worker(prefix, [unknown.handler]);
    const call = await unknown.call();
    assert.equal(call.context.attempt, 1);
    call.returns(7);
    assert.equal(await producer.result(id), 7);
    assert.equal((await producer.get(id))?.error, null);
  });

  it('is stopped at once while deferred', async () => {
    const { id } = await producer.enqueue(unknown.definition, {}, { item: 'chat-1' });
    await defer(id);
    const receipt = await producer.stop(id, { waitMs: 60_000 });
    assert.equal(receipt.outcome, 'cancelled');
    await fleet.emptied(prefix);
  });

  it('fails after its attempts without any handler for long, and a retry starts over', async () => {
    const { id } = await producer.enqueue(unknown.definition, {}, { id: 'late', delay: 3_600_000 });
    await fleet.client.hset(`${prefix}:bull:mix:late`, 'ats', 28);
    await (await fleet.store({ keyPrefix: prefix }).queues.get('mix').getJob(id))?.promote();
    await assert.rejects(producer.result(id), { code: 'TASK_FAILED', message: /No handler for mix\.unknown/ });
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.attempt], ['failed', 2]);
    await producer.retry(id);
    assert.equal((await defer(id))?.attempt, 0);
  });

  it('is logged once, no matter how often it is fetched', () => {
    const lines = new LogLines();
    const tasks = new UnknownTasks(['a.known'], lines.loggers('worker'));
    const outcome = (attemptsStarted: number, attemptsMade = 0): Outcome =>
      tasks.outcomeOf({ id: 'one', name: 'b.unknown', queueName: 'b', attemptsStarted, attemptsMade });
    for (const starts of [1, 2, 3]) outcome(starts);
    assert.deepEqual(
      lines.lines.map(({ level }) => level),
      [40, 20, 20],
    );
  });

  it('is deferred with growing delays, for ten minutes in all', () => {
    const tasks = new UnknownTasks(['a.known'], new LogLines().loggers('worker'));
    const waits: number[] = [];
    for (let starts = 1; ; starts += 1) {
      const outcome = tasks.outcomeOf({ id: 'one', name: 'b.unknown', queueName: 'b', attemptsStarted: starts + 2, attemptsMade: 2 });
      if (outcome.kind !== 'defer') {
        assert.ok(outcome.kind === 'fail' && /^No handler for b\.unknown on this worker; it has a\.known$/.test(outcome.error.message));
        break;
      }
      waits.push(outcome.ms);
    }
    assert.deepEqual([waits.slice(0, 4), waits.at(-1)], [[100, 200, 400, 800], 30_000]);
    const minutes = waits.reduce((sum, ms) => sum + ms, 0) / 60_000;
    assert.ok(minutes > 10 && minutes < 11, `${minutes} min`);
  });
});
