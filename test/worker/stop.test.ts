import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../producer/index.js';
import { StopRequested } from '../../shared/stop/cause.js';
import { fleetCanary } from '../../worker/builtin/definitions.js';
import { QueueWorker } from '../../worker/fetch/queue-worker.js';
import { deferred } from '../support/deferred.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

const WAIT = { waitMs: 60_000 };
// eslint-disable-next-line typescript/unbound-method -- called with its worker
const { processJob } = QueueWorker.prototype;
/** Effectively never: tests see stops by message, not by polling. */
const NO_POLL = { stopPollMs: 3_600_000 };

describe('A stop', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(task: ScriptedTask, config: Parameters<TestFleet['worker']>[2] = {}) {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    return fleet.worker(prefix, [task.handler], { ...NO_POLL, ...config });
  }

  it('of a running task aborts its signal with sender and reason, and the receipt says so', async () => {
    const task = new ScriptedTask('stop.heeded');
    await setUp(task);
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    const receipt = await producer.stop(id, { ...WAIT, reason: 'too slow', by: 'alice' });
    const cause = await call.aborted;
    assert.ok(cause instanceof StopRequested);
    assert.deepEqual([cause.reason, cause.by], ['too slow', 'alice']);
    assert.deepEqual([receipt.outcome, receipt.via, receipt.reason, receipt.by], ['cancelled', 'signal', 'too slow', 'alice']);
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.error, view?.attempt], ['cancelled', 'Stopped by alice: too slow', 1]);
  });

  it('of a deaf task abandons its handler after the grace, and frees the slot', async () => {
    const task = new ScriptedTask('stop.deaf');
    const worker = await setUp(task, { concurrency: 1, stopGraceMs: 1_000 });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call(0);
    assert.equal((await producer.stop(id)).outcome, 'requested');
    // The task stays listed during its grace.
    assert.deepEqual(
      (await producer.list()).tasks.map(({ state }) => state),
      ['stopping'],
    );
    const receipt = await producer.stop(id, WAIT);
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'abandon']);
    assert.ok((receipt.latencyMs ?? 0) >= 995, `settled after ${receipt.latencyMs} ms`);
    assert.equal(worker.status().zombies, 1);
    const next = await producer.enqueue(task.definition, {});
    (await task.call(1)).returns('next');
    assert.equal(await producer.result(next), 'next');
    call.returns();
    await new Promise(setImmediate);
    assert.equal(worker.status().zombies, 0);
  });

  it('is not undone by anything an abandoned handler does later', async () => {
    for (const end of ['returns', 'throws'] as const) {
      const task = new ScriptedTask('stop.zombie', { retry: { attempts: 5, backoff: { delayMs: 0 } } });
      const worker = await setUp(task, { stopGraceMs: 10 });
      const { id } = await producer.enqueue(task.definition, {});
      const call = await task.call();
      call.context.emit('before');
      await producer.stop(id, WAIT);
      call.context.emit('after');
      call.context.progress(99);
      call[end](new Error('too late'));
      await worker.stop();
      const view = await producer.get(id);
      assert.deepEqual([view?.state, view?.progress, view?.result, view?.error], ['cancelled', null, null, 'Stopped']);
      const said = [];
      for await (const event of producer.events(id)) if (event.type !== 'state') said.push(event);
      assert.deepEqual(
        said.map((event) => event.type === 'chunk' && event.chunk),
        ['before'],
      );
      assert.equal(task.calls.length, 1);
    }
  });

  it('creates no event stream for an abandoned handler whose first output is late', async () => {
    const task = new ScriptedTask('stop.lateword');
    const worker = await setUp(task, { stopGraceMs: 10 });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await producer.stop(id, WAIT);
    call.context.emit('after');
    call.context.progress(99);
    call.returns();
    await worker.stop();
    assert.equal(await fleet.client.exists(`${prefix}:tasks:events:${id}`), 0);
  });

  it('applies although the handler throws its own error and has attempts left', async () => {
    const task = new ScriptedTask('stop.ownerror', { retry: { attempts: 5, backoff: { delayMs: 0 } } });
    const worker = await setUp(task);
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    void call.aborted.then(() => call.throws(new Error('socket hang up')));
    const receipt = await producer.stop(id, WAIT);
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
    await worker.stop();
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.attempt, task.calls.length], ['cancelled', 1, 1]);
    await fleet.emptied(prefix);
  });

  it('applies although the handler returns after the abort', async () => {
    const task = new ScriptedTask('stop.returned');
    await setUp(task);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    void call.aborted.then(() => call.returns('half of it'));
    assert.equal((await producer.stop(id, WAIT)).outcome, 'cancelled');
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.result], ['cancelled', null]);
  });

  it('is too late once the handler has returned: the task completes and the receipt says finished', async () => {
    const task = new ScriptedTask('stop.finished');
    await setUp(task);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    call.returns('all of it');
    const receipt = await producer.stop(id, WAIT);
    assert.deepEqual([receipt.outcome, receipt.endedAs, receipt.via], ['finished', 'completed', null]);
    assert.equal(await producer.result(id), 'all of it');
  });

  it('while no worker runs means that the handler is never called once one does', async () => {
    const task = new ScriptedTask('stop.noworker', { retry: { attempts: 5 } });
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    const ids: string[] = [];
    for (const options of [{}, { delay: 60_000 }, { priority: 3 }]) ids.push((await producer.enqueue(task.definition, {}, options)).id);
    const receipts = await producer.stop(ids);
    assert.deepEqual(
      receipts.map(({ outcome, via }) => [outcome, via]),
      ids.map(() => ['cancelled', 'queue']),
    );
    const worker = await fleet.worker(prefix, [task.handler]);
    const marker = await producer.enqueue(task.definition, {});
    (await task.call()).returns();
    await producer.result(marker);
    await worker.stop();
    assert.deepEqual(
      task.calls.map(({ context }) => context.id),
      [marker.id],
    );
    await fleet.emptied(prefix);
  });

  for (const delayMs of [0, 60_000]) {
    it(`before ${delayMs === 0 ? 'an immediate' : 'a delayed'} retry cancels the task, which never runs again`, async () => {
      const task = new ScriptedTask('stop.retry', { retry: { attempts: 5, backoff: { type: 'fixed', delayMs, jitter: 0 } } });
      const worker = await setUp(task);
      const { id } = await producer.enqueue(task.definition, {});
      const call = await task.call();
      // The failure and the stop race to Redis: in either order, no run begins after the stop.
      call.throws(new Error('first attempt'));
      const receipt = await producer.stop(id, WAIT);
      assert.equal(receipt.outcome, 'cancelled');
      const known = task.calls.length;
      await worker.stop();
      const other = await fleet.worker(prefix, [task.handler], NO_POLL);
      const marker = await producer.enqueue(task.definition, 'marker');
      const next = await task.call(known);
      assert.equal(next.context.input, 'marker');
      next.returns();
      await producer.result(marker);
      await other.stop();
      assert.equal((await producer.get(id))?.state, 'cancelled');
      assert.deepEqual(
        task.calls.slice(known).map(({ context }) => context.input),
        ['marker'],
      );
      // A retry may have begun before the stop, which has aborted it then.
      assert.ok(task.calls.slice(1, known).every(({ context }) => context.signal.aborted));
      await fleet.emptied(prefix);
    });
  }

  it('of a task that waits for its retry settles it at once', async () => {
    const task = new ScriptedTask('stop.waitingretry', { retry: { attempts: 5, backoff: { type: 'fixed', delayMs: 60_000, jitter: 0 } } });
    const worker = await setUp(task);
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call()).throws(new Error('first attempt'));
    await worker.stop();
    assert.equal((await producer.get(id))?.state, 'retrying');
    const receipt = await producer.stop(id);
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue']);
    await fleet.emptied(prefix);
  });

  it('of a task that is recorded while its message is lost is found by polling', async () => {
    const task = new ScriptedTask('stop.polled');
    await setUp(task, { stopPollMs: 50 });
    // A user with all rights except PUBLISH.
    await fleet.client.acl('SETUSER', 'mute', 'on', 'nopass', '~*', 'resetchannels', '+@all');
    const muted = fleet.producer({ keyPrefix: prefix, redisUrl: fleet.redis.url.replace('redis://', 'redis://mute:x@') });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    const receipt = await muted.stop(id, { ...WAIT, reason: 'unheard' });
    assert.deepEqual([receipt.outcome, receipt.via, receipt.reason], ['cancelled', 'signal', 'unheard']);
  });

  it('recorded while the subscription is down is found after it resubscribes', async () => {
    const task = new ScriptedTask('stop.resubscribed');
    const log = new LogLines('debug');
    await setUp(task, { loggers: log.loggers });
    await log.waitFor(/Listening for stop commands/);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    // No message: only the record, as a stop leaves it.
    await fleet.client.hset(
      `${prefix}:bull:stop:${id}`,
      'stop',
      JSON.stringify({ reason: 'unheard', by: null, at: Date.now() }),
      'defa',
      'Stopped',
    );
    await fleet.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    const cause = await call.aborted;
    assert.ok(cause instanceof StopRequested && cause.reason === 'unheard');
    call.throws(cause);
    await assert.rejects(producer.result(id), { code: 'TASK_CANCELLED' });
  });

  it('between the fetch and the tracking of a task ends it before the handler is called', async (t) => {
    const task = new ScriptedTask('stop.gap');
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    const log = new LogLines();
    const fetched = deferred<string>();
    const goOn = deferred();
    t.mock.method(
      QueueWorker.prototype,
      'processJob',
      async function held(this: QueueWorker, ...args: Parameters<QueueWorker['processJob']>) {
        if (args[0].name !== 'stop.gap') return processJob.apply(this, args); // the fleet's own
        fetched.resolve(args[0].id as string);
        await goOn.promise;
        return processJob.apply(this, args);
      },
    );
    await fleet.worker(prefix, [task.handler], { ...NO_POLL, loggers: log.loggers });
    await log.waitFor(/Listening for stop commands/);
    const { id } = await producer.enqueue(task.definition, {});
    assert.equal(await fetched.promise, id);
    assert.equal((await producer.stop(id)).outcome, 'requested');
    // Messages arrive in order: a worker with this one has received the stop.
    await fleet.client.publish(`${prefix}:tasks:commands`, 'marker');
    await log.waitFor(/Unsupported message/);
    goOn.resolve();
    const receipt = await producer.stop(id, WAIT);
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue']);
    assert.equal(task.calls.length, 0);
    assert.equal((await producer.get(id))?.attempt, 0);
  });

  it('keeps the output of the task', async () => {
    const task = new ScriptedTask('stop.partial');
    await setUp(task);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    for (const word of ['one', 'two', 'three']) call.context.emit(word);
    void call.aborted.then((cause) => call.throws(cause));
    await producer.stop(id, WAIT);
    const chunks = [];
    for await (const event of producer.events(id)) if (event.type === 'chunk') chunks.push(event.chunk);
    assert.deepEqual(chunks, ['one', 'two', 'three']);
  });

  it('reaches every task of an item at once', async () => {
    const task = new ScriptedTask('stop.item');
    await setUp(task, { concurrency: 5 });
    const options = { item: 'chat-9' };
    for (let index = 0; index < 8; index += 1) await producer.enqueue(task.definition, {}, options);
    const other = await producer.enqueue(fleetCanary, { run_ms: 0 });
    for (let index = 0; index < 5; index += 1) {
      const call = await task.call(index);
      void call.aborted.then((cause) => call.throws(cause));
    }
    const receipts = await producer.stopItem('chat-9', WAIT);
    assert.deepEqual(
      receipts.map(({ outcome }) => outcome),
      Array(8).fill('cancelled'),
    );
    assert.equal(receipts.filter(({ via }) => via === 'signal').length, 5);
    await until(
      () => producer.hasActiveTasks('chat-9'),
      (active) => !active,
    );
    await producer.result(other);
  });
});
