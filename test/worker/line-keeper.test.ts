import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { stepsOf } from '../../shared/limiter/marks.js';
import { LimitedJobs } from '../support/fleet/limited-jobs.js';
import { endOf, ownWorker } from '../support/fleet/own-worker.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

describe('A worker with limits', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('publishes those of its definitions', async () => {
    const chat = new ScriptedTask('chat.answer', {
      concurrency: [
        { by: 'item', limit: 2 },
        { limit: 7, group: 'chats' },
      ],
      rate: { limit: 60, per: '1m' },
    });
    const { prefix } = await ownWorker(fleet, [chat.handler, new ScriptedTask('free.task').handler]);
    const defined = await until(
      () => fleet.client.hgetall(fleet.keys(prefix).limiter('defined')),
      (fields) => Object.keys(fields).length > 0,
    );
    const limits = Object.fromEntries(Object.entries(defined).filter(([name]) => /#\d+$/.test(name)));
    assert.deepEqual(limits, { 'task:chat.answer#0': '2', 'group:chats#0': '7', 'rate:task:chat.answer#0': '[60,60000,6]' });
    assert.equal(defined['group:chats:'], 'group:chats#0', 'the limit of a key that all tasks share');
  });

  it('lets on a task whose admission was lost with the process that freed its place', async () => {
    const task = new ScriptedTask('chat.answer', { concurrency: { by: 'item', limit: 1 } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const store = fleet.store({ keyPrefix: prefix });
    const jobs = new LimitedJobs(store, task.definition);
    await jobs.add('one', 'chat');
    const first = await task.call(0);
    await jobs.add('two', 'chat');
    await until(
      () => jobs.parked(),
      (parked) => parked.length === 1,
    );
    // The script of the release ran, and its caller died before it moved the admitted job on.
    await store.redis.releaseTasks(store.keys.limiter('tasks'), store.keys.limiter(''), 'one', '');
    const second = await task.call(1);
    assert.equal(second.context.id, 'two');
    for (const call of [first, second]) call.returns();
    await Promise.all(['one', 'two'].map((id) => endOf(producer, id)));
  });

  it('fails a parked task at its deadline', async () => {
    const task = new ScriptedTask('chat.answer', { concurrency: { by: 'item', limit: 1 } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const jobs = new LimitedJobs(fleet.store({ keyPrefix: prefix }), task.definition);
    await jobs.add('one', 'chat');
    const first = await task.call(0);
    await jobs.add('two', 'chat', { deadline: Date.now() + 3_000 });
    const late = await endOf(producer, 'two');
    assert.equal(late.state, 'failed');
    assert.match(late.error ?? '', /^Not started before its deadline/);
    first.returns();
    await endOf(producer, 'one');
    assert.equal(task.calls.length, 1);
  });

  it('drops the record of a task that has ended unseen, once it is unregistered for the grace', async () => {
    const task = new ScriptedTask('chat.answer', { concurrency: { by: 'item', limit: 1 } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler], { enqueueGraceMs: 1_000 });
    const store = fleet.store({ keyPrefix: prefix });
    const jobs = new LimitedJobs(store, task.definition);
    const steps = stepsOf(null, [{ kind: 'place', id: 'task:chat.answer:chat', limit: 'task:chat.answer#0', max: 1 }]);
    await store.limiter.admit({ id: 'gone', queue: task.definition.queue, name: task.definition.name, priority: 0, steps });
    await jobs.add('two', 'chat');
    const call = await task.call(0);
    assert.equal(call.context.id, 'two');
    call.returns();
    await endOf(producer, 'two');
  });
});

it('A worker without limits tends no lines', async () => {
  const fleet = await TestFleet.start();
  const monitor = await fleet.monitor();
  const { prefix, worker } = await ownWorker(fleet, [new ScriptedTask('free.task').handler], { heartbeatMs: 100 });
  const keys = fleet.keys(prefix);
  const beats = new Set<string>();
  // Longer than the interval of the lines.
  await until(
    async () => beats.add((await fleet.client.zscore(keys.workers, worker.id)) ?? ''),
    ({ size }) => size > 8,
  );
  const commands = await monitor.stop();
  assert.deepEqual(
    commands.filter((words) => words.some((word) => word.startsWith(keys.limiter('')))),
    [],
  );
  await fleet.stop();
});
