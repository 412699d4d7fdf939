import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isFleetError } from '../../shared/errors.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

describe('WORKER_QUEUES and BUILTIN_TASKS', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('share the queues of a service between workers', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const [chat, report] = [new ScriptedTask('chat.answer'), new ScriptedTask('report.make')];
    const ofChat = await fleet.worker(keyPrefix, [chat.handler, report.handler], { workerQueues: ['chat', 'maintenance'] });
    const { id: waiting } = await producer.enqueue(report.definition, 1);
    const { id } = await producer.enqueue(chat.definition, 1);
    (await chat.call(0)).returns('hi');
    assert.equal(await producer.result(id), 'hi');
    assert.deepEqual([(await producer.get(waiting))?.state, report.calls.length], ['queued', 0]);
    assert.deepEqual([ofChat.status().queues, ofChat.status().maintenance], [['chat'], true]);
    const others = await fleet.worker(keyPrefix, [chat.handler, report.handler], { workerQueues: ['!chat', '!maintenance'] });
    (await report.call(0)).returns('done');
    assert.equal(await producer.result(waiting), 'done');
    assert.deepEqual([others.status().queues, others.status().maintenance], [['documents', 'fleet', 'report'], false]);
  });

  it('let a worker take the tasks of the fleet only', async () => {
    const keyPrefix = fleet.newPrefix();
    const keys = fleet.keys(keyPrefix);
    const worker = await fleet.worker(keyPrefix, [], { workerQueues: ['maintenance'], reconcileMs: 200 });
    await until(
      () => fleet.client.hget(keys.reconcile, 'at'),
      (at) => at !== null,
    );
    const { queues, slots, maintenance } = worker.status();
    assert.deepEqual([queues, slots, maintenance], [[], 0, true]);
  });

  it('leave out built-in tasks, whose names a service may then use, and their schedules', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const own = new ScriptedTask('chat.completion');
    await assert.rejects(fleet.worker(keyPrefix, [own.handler]), (error) => isFleetError(error, 'INVALID_DEFINITION'));
    const worker = await fleet.worker(keyPrefix, [own.handler], { builtinTasks: ['fleet.canary', 'models.*'] });
    assert.deepEqual(worker.status().queues, ['fleet', 'chat']);
    await until(
      async () => (await producer.schedules.list()).map(({ id }) => id),
      (ids) => ids.join() === 'models.refresh,registry.reconcile',
    );
    // A worker with fewer tasks leaves the schedules of one that has them.
    await fleet.worker(keyPrefix, [], { builtinTasks: ['!*'] });
    await until(
      async () => (await producer.workers.list()).filter(({ alive }) => alive).length,
      (count) => count === 2,
    );
    assert.deepEqual(
      (await producer.schedules.list()).map(({ id }) => id),
      ['models.refresh', 'registry.reconcile'],
    );
  });

  it('are refused if they leave nothing to take, and warn of a pattern that names no queue', async () => {
    const keyPrefix = fleet.newPrefix();
    await assert.rejects(fleet.worker(keyPrefix, [], { workerQueues: ['chta'] }), (error) => isFleetError(error, 'INVALID_SETTINGS'));
    const log = new LogLines();
    await fleet.worker(keyPrefix, [], { workerQueues: ['chat', 'reprot-*'], loggers: log.loggers });
    const line = await log.waitFor(/^WORKER_QUEUES has patterns that match no queue/);
    assert.deepEqual(line['patterns'], ['reprot-*']);
  });
});
