import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type Producer, type TaskCancelled, type TaskView, taskToJson } from '../../producer/index.js';
import { StopRequested } from '../../shared/stop/cause.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

const WAIT = { waitMs: 60_000 };
const NO_POLL = { stopPollMs: 3_600_000 };

describe('The stop listener', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let log: LogLines;
  let task: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(config: Parameters<TestFleet['worker']>[2] = {}) {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    log = new LogLines();
    task = new ScriptedTask('listen.task', { retry: { attempts: 5 } });
    const worker = await fleet.worker(prefix, [task.handler], { ...NO_POLL, loggers: log.loggers, ...config });
    await log.waitFor(/Listening for stop commands/);
    return worker;
  }

  const channel = () => `${prefix}:tasks:commands`;
  const publish = (message: string | Buffer) => fleet.client.publish(channel(), message);

  async function runOne(options: Parameters<Producer['enqueue']>[2] = {}) {
    // Before the enqueue, whose answer may arrive after the call.
    const called = task.call(task.calls.length);
    const { id } = await producer.enqueue(task.definition, {}, options);
    const call = await called;
    void call.aborted.then((cause) => call.throws(cause));
    return { id, call };
  }

  const cancelled = (id: string) => assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });

  it('receives stops with the health check off, and sends no PING', async () => {
    await setUp({ healthCheckMs: 0, threads: 1_000 });
    const { id } = await runOne();
    await producer.stop(id, WAIT);
    await cancelled(id);
    const clients = String(await fleet.client.client('LIST'))
      .split('\n')
      .filter((line) => line.includes('name=taskfleet:worker:stop ') && line.includes('sub=2'));
    assert.match(clients.at(-1) ?? '', / cmd=subscribe /);
    const notices = log.find(/^THREAD_POOL_SIZE: 1000 exceeds the limit/);
    assert.equal(notices.length, 1, 'a capped time is logged once');
  });

  it('ignores an impossible time in a command: the receipt has the time of the record', async () => {
    await setUp();
    for (const at of ['1e308', '-1', '0', '9000000000000']) {
      const { id } = await runOne();
      const since = Date.now();
      await publish(`{"action":"stop","task_id":"${id}","recorded_at":${at}}`);
      const receipt = await producer.result(id, { timeoutMs: 60_000 }).then(
        () => assert.fail('it was not cancelled'),
        (error: TaskCancelled) => error.receipt,
      );
      const requested = receipt.requestedAt?.getTime() ?? 0;
      assert.ok(requested >= since && requested <= Date.now(), `${at}: ${receipt.requestedAt?.toISOString()}`);
      assert.ok((receipt.latencyMs ?? Infinity) <= Date.now() - since, at);
    }
  });

  it('survives invalid messages, logs them, and stops the next task', async () => {
    await setUp();
    const bad = {
      'not JSON': ['', '{', 'stop', 'undefined', '{"action":"stop","task_id":"x"} trailing', '\u0000'],
      'expected a JSON object': ['null', '5', '"stop"', '[]', '[{"action":"stop","task_id":"x"}]'],
      'no action': ['{}', '{"task_id":"x"}'],
      'unsupported action': [
        '{"action":"pause","task_id":"x"}',
        '{"action":5}',
        '{"action":null}',
        '{"action":{"stop":1}}',
        '{"action":"STOP","task_id":"x"}',
      ],
      'expected task_id': [
        ...['{"action":"stop"}', '{"action":"stop","task_id":5}', '{"action":"stop","task_id":null}', '{"action":"stop","task_id":""}'],
        ...[
          '{"action":"stop","task_id":["x"]}',
          '{"action":"stop","task_ids":"x"}',
          '{"action":"stop","task_ids":[]}',
          '{"action":"stop","task_ids":["x",7]}',
        ],
        JSON.stringify({ action: 'stop', task_ids: Array(1_001).fill('x') }),
        JSON.stringify({ action: 'stop', task_id: 'x'.repeat(1_001) }),
      ],
      'longer than': [JSON.stringify({ action: 'stop', task_id: 'x'.repeat(1_048_576) })],
    };
    for (const messages of Object.values(bad)) for (const message of messages) await publish(message);
    await publish(randomBytes(1_000));
    await publish(Buffer.from([0xff, 0xfe, 0x00]));
    const { id } = await runOne();
    await publish(JSON.stringify({ action: 'stop', task_id: id }));
    await cancelled(id);
    const problems = log.find(/Unsupported message/).map(({ problem }) => String(problem));
    const expected = Object.entries(bad).flatMap(([problem, messages]) => messages.map(() => problem));
    assert.equal(problems.length, expected.length + 2);
    expected.forEach((problem, index) => assert.ok(problems[index]?.startsWith(problem), `${problems[index]} instead of ${problem}`));
    assert.ok(
      problems.every((problem) => problem.length < 300),
      'the log repeats no message',
    );
    assert.ok(log.find(/Unsupported message/).every(({ level }) => level === 50));
  });

  it('ignores unknown ids and unknown fields', async () => {
    await setUp();
    await publish('{"action":"stop","task_id":"nobody","by":7,"reason":{"a":1},"recorded_at":"yesterday","more":true}');
    await publish(JSON.stringify({ action: 'stop', task_id: '__proto__' }));
    await publish(JSON.stringify({ action: 'stop', task_id: 'a:b', recorded_at: 1 }));
    const { id } = await runOne();
    await publish(JSON.stringify({ action: 'stop', task_id: id, reason: 5, by: '' }));
    await cancelled(id);
    const stop = (await producer.get(id))?.stop;
    assert.deepEqual([stop?.reason, stop?.by], [null, null]);
    assert.deepEqual(
      log.lines.filter(({ level }) => level >= 50),
      [],
    );
  });

  it('warns of a command for an unknown task, once per id', async () => {
    await setUp();
    for (const id of ['ghost', 'ghost', 'spirit', 'ghost', 'last']) await publish(JSON.stringify({ action: 'stop', task_id: id }));
    // Commands are handled in order.
    const warned = await until(
      () => log.find(/stop command for a task that does not exist/),
      (lines) => lines.some(({ id }) => id === 'last'),
    );
    assert.deepEqual(
      warned.map(({ level, id: named }) => [level, named]),
      [
        [40, 'ghost'],
        [40, 'spirit'],
        [40, 'last'],
      ],
    );
  });

  it('applies a stop whose message wrongly claims a record', async () => {
    await setUp();
    const { id } = await runOne();
    await publish(JSON.stringify({ action: 'stop', task_id: id, reason: 'trust me', by: 'mallory', recorded_at: 1e300 }));
    await cancelled(id);
    const { state, stop, error } = (await producer.get(id)) ?? {};
    assert.deepEqual([state, stop?.reason, stop?.via, error], ['cancelled', 'trust me', 'signal', 'Stopped by mallory: trust me']);
    assert.ok(taskToJson((await producer.get(id)) as TaskView));
  });

  it('stops all tasks that one message names', async () => {
    await setUp({ concurrency: 3 });
    const tasks = [await runOne(), await runOne(), await runOne()];
    await publish(JSON.stringify({ action: 'stop', task_id: tasks[0]?.id, task_ids: tasks.map(({ id }) => id), reason: 'all of them' }));
    for (const { id } of tasks) await cancelled(id);
    assert.equal((await producer.get(tasks[2]?.id ?? ''))?.stop?.reason, 'all of them');
  });

  it('stops running, queued and delayed tasks by an open-webui command, with several workers', async () => {
    await setUp({ concurrency: 1 });
    await fleet.worker(prefix, [], NO_POLL);
    await fleet.worker(prefix, [], NO_POLL);
    const running = await runOne({ item: 'chat-1' });
    const queued = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const delayed = await producer.enqueue(task.definition, {}, { item: 'chat-1', delay: 60_000 });
    for (const id of [delayed.id, queued.id, running.id]) await publish(JSON.stringify({ action: 'stop', task_id: id }));
    for (const id of [delayed.id, queued.id, running.id]) await cancelled(id);
    assert.equal(task.calls.length, 1);
    const views = await Promise.all([running.id, queued.id, delayed.id].map((id) => producer.get(id)));
    assert.deepEqual(
      views.map((view) => [view?.state, view?.stop?.via, view?.attempt]),
      [
        ['cancelled', 'signal', 1],
        ['cancelled', 'queue', 0],
        ['cancelled', 'queue', 0],
      ],
    );
  });

  it('does not forward a stop of a task of another program', async () => {
    await setUp();
    await fleet.worker(prefix, [], NO_POLL);
    await fleet.client.hset(`${prefix}:tasks`, 'foreign-1', 'chat-1');
    const received: string[] = [];
    const subscriber = fleet.redis.client();
    await subscriber.subscribe(channel());
    subscriber.on('message', (_channel: string, message: string) => received.push(message));
    const command = JSON.stringify({ action: 'stop', task_id: 'foreign-1' });
    await publish(command);
    // A later stop has gone the whole way, so the effects of the first are over.
    const { id } = await runOne();
    await producer.stop(id, WAIT);
    await publish('marker');
    await log.waitFor(/Unsupported message/);
    assert.deepEqual(
      received.filter((message) => message.includes('foreign-1')),
      [command],
    );
    assert.equal(await fleet.client.hexists(`${prefix}:tasks`, 'foreign-1'), 1);
    subscriber.disconnect();
  });

  it('stops only the intended one of two plain jobs with the same id', async () => {
    prefix = fleet.newPrefix();
    const [one, other] = [new ScriptedTask('one.task'), new ScriptedTask('other.task')];
    const worker = await fleet.worker(prefix, [one.handler, other.handler], NO_POLL);
    const store = fleet.store({ keyPrefix: prefix });
    const jobs = [await store.queues.get('one').add('one.task', {}), await store.queues.get('other').add('other.task', {})];
    assert.deepEqual(
      jobs.map(({ id }) => id),
      ['1', '1'],
    );
    const [call, otherCall] = [await one.call(), await other.call()];
    assert.deepEqual([worker.status().running, call.context.signal.aborted], [['1', '1'], false]);
    // The record and the message of a stop of the second job.
    await fleet.client.hset(`${prefix}:bull:other:1`, 'stop', JSON.stringify({ reason: 'this one', by: null, at: 1 }), 'defa', 'Stopped');
    await publish(JSON.stringify({ action: 'stop', task_id: '1', recorded_at: 1 }));
    otherCall.throws(await otherCall.aborted);
    assert.equal(call.context.signal.aborted, false);
    call.returns();
    await worker.stop();
    assert.deepEqual(await Promise.all(['one', 'other'].map((queue) => store.queues.get(queue).getJobState('1'))), ['completed', 'failed']);
  });

  it('ignores the stop of a task with the same id and prefix in another database', async () => {
    prefix = fleet.newPrefix();
    const [here, there] = ['', '/1'].map((database) => ({ redisUrl: fleet.redis.url + database, played: new ScriptedTask('listen.task') }));
    assert.ok(here && there);
    const runs = [];
    for (const { redisUrl, played } of [here, there]) {
      const lines = new LogLines();
      await fleet.worker(prefix, [played.handler], { ...NO_POLL, redisUrl, loggers: lines.loggers });
      await lines.waitFor(/Listening for stop commands/);
      const sender = fleet.producer({ keyPrefix: prefix, redisUrl });
      await sender.enqueue(played.definition, {}, { id: 'same' });
      runs.push({ sender, call: await played.call() });
    }
    const [first, second] = runs as [(typeof runs)[number], (typeof runs)[number]];
    void second.call.aborted.then((cause) => second.call.throws(cause));
    assert.equal((await second.sender.stop('same', WAIT)).outcome, 'cancelled');
    // Its own stop goes the same way, later.
    assert.equal(first.call.context.signal.aborted, false);
    assert.deepEqual([(await first.sender.get('same'))?.state, (await first.sender.get('same'))?.stop], ['running', null]);
    void first.call.aborted.then((cause) => first.call.throws(cause));
    assert.equal((await first.sender.stop('same', WAIT)).outcome, 'cancelled');
  });

  it('reads the records when a sender uses a former fleet id, as after FLUSHALL', async () => {
    await setUp();
    const { id } = await runOne();
    await fleet.client.hset(
      `${prefix}:bull:listen:${id}`,
      'stop',
      JSON.stringify({ reason: 'recorded', by: null, at: Date.now() }),
      'defa',
      'Stopped',
    );
    await publish(JSON.stringify({ action: 'stop', task_id: id, recorded_at: Date.now(), fleet: 'former' }));
    await cancelled(id);
    assert.equal((await producer.get(id))?.stop?.reason, 'recorded');
  });

  it('resubscribes whenever its connection is cut, and receives the next messages', async () => {
    const worker = await setUp();
    for (let round = 1; round <= 5; round += 1) {
      const { id } = await runOne();
      const back = (async () => {
        while (log.find(/Listening for stop commands/).length <= round) await log.nextLine();
      })();
      await fleet.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await back;
      assert.equal(worker.status().subscribed, true);
      await publish(JSON.stringify({ action: 'stop', task_id: id }));
      await cancelled(id);
    }
  });

  it('finds recorded stops at once after a restart of Redis', async () => {
    const own = await TestFleet.start({ appendonly: 'yes' });
    try {
      log = new LogLines();
      task = new ScriptedTask('listen.task');
      prefix = own.newPrefix();
      producer = own.producer({ keyPrefix: prefix });
      const worker = await own.worker(prefix, [task.handler], { ...NO_POLL, loggers: log.loggers });
      const { id } = await producer.enqueue(task.definition, {});
      const call = await task.call();
      await own.client.config('SET', 'appendfsync', 'always');
      await own.client.hset(
        `${prefix}:bull:listen:${id}`,
        'stop',
        JSON.stringify({ reason: 'unheard', by: null, at: 1 }),
        'defa',
        'Stopped',
      );
      await own.redis.kill();
      await log.waitFor(/connection lost/);
      await own.redis.restart();
      const cause = await call.aborted;
      assert.ok(cause instanceof StopRequested && cause.reason === 'unheard');
      call.throws(cause);
      await cancelled(id);
      assert.equal(worker.status().subscribed, true);
      // Later messages are received.
      const { id: next } = await producer.enqueue(task.definition, {});
      const second = await task.call(1);
      void second.aborted.then((reason) => second.throws(reason));
      assert.equal((await producer.stop(next, WAIT)).outcome, 'cancelled');
    } finally {
      await own.stop();
    }
  });
});
