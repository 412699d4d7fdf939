import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { ATTEMPT_FIELDS, parseAttempts } from '../../../shared/attempt/attempt.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

/** A busy machine renews them in time while Redis answers. */
const LOCK_MS = 3_000;

describe('An outage of Redis for longer than a lock', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.onOneServer();
  });
  after(() => fleet.stop());

  it('counts as no lost worker; a task with `retries: 0` still does not run again', async (t) => {
    const proxy = await FaultProxy.start(fleet.redis.port);
    t.after(() => proxy.stop());
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const log = new LogLines();
    const [often, once] = [1, 0].map((retries) => new ScriptedTask(`outage.${retries}`, { onWorkerLost: { retries } })) as [
      ScriptedTask,
      ScriptedTask,
    ];
    await fleet.worker(prefix, [often.handler, once.handler], {
      ...{ redisUrl: proxy.url, lockMs: LOCK_MS, stalledCheckMs: 500, reconnectDelayMs: 50, loggers: log.loggers },
    });
    const [repeated, single] = [await producer.enqueue(often.definition, {}), await producer.enqueue(once.definition, {})];
    const jobOf = (id: string) => `${fleet.keys(prefix).jobs('outage')}${id}`;
    const calls = [await often.call(), await once.call()];
    // The worker was lost once before: with the outage, it would be lost too often.
    await fleet.client.hset(jobOf(repeated.id), 'stc', 1);

    proxy.refuse();
    proxy.reset();
    await setTimeout(1.5 * LOCK_MS);
    await proxy.accept();
    assert.equal((await log.waitFor(/^Redis was away for longer than a lock/))['tasks'], 2);
    const second = await often.call(1);
    for (const call of calls) {
      await call.aborted;
      call.throws(new Error('too late'));
    }
    second.returns('second run');
    assert.equal(await producer.result(repeated), 'second run');
    await assert.rejects(producer.result(single), { code: 'TASK_FAILED' });
    assert.match((await producer.get(single.id))?.error ?? '', /^outage\.0 runs at most once/);
    assert.deepEqual([often.calls.length, once.calls.length], [2, 1]);
    const { stc, given_up: givenUp } = await fleet.client.hgetall(jobOf(repeated.id));
    assert.deepEqual([stc, givenUp], ['2', '1']);
    const attempts = parseAttempts(await fleet.client.hmget(jobOf(repeated.id), ...ATTEMPT_FIELDS), (problem) => assert.fail(problem));
    assert.deepEqual(
      attempts.map(({ attempt }) => attempt.outcome),
      ['lock_lost'],
    );
  });

  it('counts as no lost worker for a task whose fetch has lost its answer with the connection', async (t) => {
    const proxy = await FaultProxy.start(fleet.redis.port);
    t.after(() => proxy.stop());
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const log = new LogLines();
    const task = new ScriptedTask('fetched.task', { onWorkerLost: { retries: 1 } });
    await fleet.worker(prefix, [task.handler], {
      ...{ redisUrl: proxy.url, lockMs: LOCK_MS, stalledCheckMs: 500, reconnectDelayMs: 50, loggers: log.loggers },
    });
    const job = (id: string) => `${fleet.keys(prefix).jobs('fetched')}${id}`;
    const first = await producer.enqueue(task.definition, {});
    (await task.call()).returns('first task');
    await producer.result(first);
    const lost = proxy.loseReply(
      (request) => request.includes(`${fleet.keys(prefix).jobs('fetched')}marker`) && /evalsha/i.test(request.toString('latin1', 0, 64)),
    );
    const { id } = await producer.enqueue(task.definition, {});
    await lost;
    assert.equal((await log.waitFor(/^The answers to fetches were lost/))['tasks'], 1);
    (await task.call(1)).returns('second task');
    assert.equal(await producer.result(id), 'second task');
    assert.deepEqual(await fleet.client.hmget(job(id), 'stc', 'given_up'), ['1', '1']);
  });

  it('counts as no lost worker for a task whose lock expired before its handler was called', async () => {
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const task = new ScriptedTask('late.task');
    const job = (id: string) => `${fleet.keys(prefix).jobs('late')}${id}`;
    let fetches = 0;
    const onStep = async (step: string, id?: string): Promise<void> => {
      if (step !== 'worker:tracked' || (fetches += 1) > 1) return;
      await fleet.client.del(`${job(String(id))}:lock`);
      await setTimeout(LOCK_MS);
    };
    await fleet.worker(prefix, [task.handler], { lockMs: LOCK_MS, stalledCheckMs: 500, onStep });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    assert.equal(call.context.attempt, 1);
    call.returns('first run');
    assert.equal(await producer.result(id), 'first run');
    assert.deepEqual(await fleet.client.hmget(job(id), 'stc', 'given_up'), ['1', '1']);
    const view = await producer.get(id);
    assert.deepEqual([view?.attempt, view?.maxAttempts], [1, 1]);
  });
});
