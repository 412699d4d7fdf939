import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { taskDetails } from '../../../../cli/text/task-text.js';
import { type Attempt, type TaskView, hideStacks, taskToJson } from '../../../../producer/index.js';
import { isFleetError } from '../../../../shared/errors.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { endOf, ownWorker } from '../../../support/fleet/own-worker.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const coded = (error: Error, code: string): Error => Object.assign(error, { code });
/** Three failures: a chain of causes, an AggregateError with a cause, and a value that is no Error. */
const FAILURES: readonly unknown[] = [
  coded(new TypeError('no route', { cause: coded(new Error('socket closed'), 'ECONNRESET') }), 'E_ROUTE'),
  new AggregateError([new RangeError('too far'), coded(new Error('too late'), 'E_LATE')], 'both failed', { cause: new Error('overload') }),
  { status: 503 },
];
const retry = (attempts: number) => ({ retry: { attempts, backoff: { type: 'fixed', delayMs: 0 } } }) as const;

const numbersOf = ({ attempts }: TaskView): number[] => (attempts ?? []).map(({ number }) => number);
const outcomesOf = ({ attempts }: TaskView): (string | null)[] => (attempts ?? []).map(({ outcome }) => outcome);

describe('The record of attempts', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('has the worker, the times and the error of each failure, for the view, the log and the waiter', async () => {
    const task = new ScriptedTask('record.thrice', retry(3));
    const log = new LogLines();
    const { producer } = await ownWorker(fleet, [task.handler], { loggers: log.loggers, pid: 4711 });
    const { id } = await producer.enqueue(task.definition, {});
    for (const [index, thrown] of FAILURES.entries()) (await task.call(index)).throws(thrown);
    const error: unknown = await producer.result(id).catch((reason: unknown) => reason);
    const view = (await producer.get(id)) as TaskView;

    assert.deepEqual([view.state, view.attempt, view.maxAttempts, numbersOf(view)], ['failed', 3, 3, [1, 2, 3]]);
    const [first, second, third] = view.attempts as readonly [Attempt, Attempt, Attempt];
    for (const { worker, startedAt, endedAt, outcome, retryAt } of [first, second]) {
      assert.deepEqual([outcome, worker?.id, worker?.pid, Number(endedAt) >= Number(startedAt)], ['failed', view.worker, 4711, true]);
      assert.equal(retryAt?.getTime(), endedAt?.getTime(), 'retried without a delay');
    }
    assert.deepEqual([first.error?.name, first.error?.code, first.error?.message], ['TypeError', 'E_ROUTE', 'no route']);
    assert.match(first.error?.stack ?? '', /record\.test/);
    assert.deepEqual([first.error?.cause?.message, first.error?.cause?.code], ['socket closed', 'ECONNRESET']);
    const members = second.error?.errors.map(({ name, code, message }) => [name, code, message]);
    assert.deepEqual(members, [
      ['RangeError', null, 'too far'],
      ['Error', 'E_LATE', 'too late'],
    ]);
    assert.deepEqual([second.error?.name, second.error?.cause?.message], ['AggregateError', 'overload']);
    assert.deepEqual([third.error?.name, third.error?.message, third.retryAt], ['object', '{ status: 503 }', null]);

    assert.ok(isFleetError(error, 'TASK_FAILED') && error.cause instanceof Error);
    assert.deepEqual([error.cause.name, error.cause.message, error.details['attempts']], ['object', '{ status: 503 }', 3]);

    const lines = [...log.find(/^Attempt failed; retrying$/), ...log.find(/^Task failed$/)];
    assert.deepEqual(
      lines.map(({ component, level, attempt, of, delayMs }) => [component, level, attempt, of, delayMs]),
      [
        ['task', 40, 1, 3, 0],
        ['task', 40, 2, 3, 0],
        ['task', 50, 3, 3, undefined],
      ],
    );
    const logged = lines.map(
      ({ error: failure }) => failure as { name: string; stack?: string; errors?: unknown[]; cause?: { code: string } },
    );
    assert.deepEqual([logged[0]?.cause?.code, logged[1]?.errors?.length, logged[2]?.stack], ['ECONNRESET', 2, undefined]);
    assert.match(logged[0]?.stack ?? '', /TypeError: no route\n/);

    const text = taskDetails(view, Date.now()).join('\n');
    assert.match(text, /^#1 failed after .* on .*-4711-[0-9a-f]{8}, started 20.*Z, next at 20.*Z\n {5}TypeError \(E_ROUTE\): no route\n/m);
    assert.match(text, /\n {7}caused by Error \(ECONNRESET\): socket closed\n/);
    assert.match(text, /\n {5}AggregateError: both failed\n(?: {7}at .*\n)+ {7}- RangeError: too far\n {7}- Error \(E_LATE\): too late\n/);
    assert.match(text, /\n {5}object: \{ status: 503 \}$/);
    const json = JSON.stringify(taskToJson(view));
    assert.ok(json.includes('record.test') && !JSON.stringify(taskToJson(hideStacks(view))).includes('record.test'));
    assert.deepEqual(JSON.parse(json).max_attempts, 3);
  });

  it('bounds a message of 5 MB, and keeps the last twenty attempts over a manual retry', async () => {
    const task = new ScriptedTask('record.many', retry(25));
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    for (let index = 0; index < 25; index += 1)
      (await task.call(index)).throws(new Error(index === 24 ? 'x'.repeat(5_000_000) : `no. ${index}`));
    const failed = await endOf(producer, id);
    assert.deepEqual(
      numbersOf(failed),
      Array.from({ length: 20 }, (_, index) => index + 6),
    );
    const record = await fleet.client.hstrlen(`${prefix}:bull:record:${id}`, 'try5');
    assert.ok(record > 1_000 && record < 20_000, `${record} bytes`);
    assert.match(failed.attempts?.at(-1)?.error?.message ?? '', /x … \(cut: 5000000 bytes\)$/);

    await producer.retry(id);
    (await task.call(25)).throws(new Error('once more'));
    (await task.call(26)).returns('done');
    const done = await endOf(producer, id);
    assert.deepEqual([done.state, done.attempt, numbersOf(done).slice(-4)], ['completed', 2, [24, 25, 1, 2]]);
    assert.deepEqual(outcomesOf(done).slice(-2), ['failed', 'completed']);
  });

  it('shows the rest if records are garbage, and notes the problem', async () => {
    const task = new ScriptedTask('record.garbage', retry(2));
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    const key = `${prefix}:bull:record:${id}`;
    await task.call();
    await fleet.client.hset(key, 'try3', '{"number":', 'try4', '[]', 'tries', 'many', 'given_up', '-1', 'unrun', 'yes', 'put_off', '');
    (await task.call()).throws(new Error('first'));
    (await task.call(1)).returns(1);
    const view = await endOf(producer, id);
    assert.deepEqual([view.state, view.attempt, outcomesOf(view)], ['completed', 2, ['failed', 'completed']]);
    assert.match(view.problem ?? '', /given_up: .*try3: expected the record of an attempt; try4: /);
  });

  it('costs an attempt that completes nothing: neither a field nor a write', async () => {
    const task = new ScriptedTask('record.free', retry(2));
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    const running = (await producer.get(id)) as TaskView;
    assert.deepEqual([numbersOf(running), outcomesOf(running), running.attempts?.[0]?.endedAt], [[1], [null], null]);
    const monitor = await fleet.monitor();
    call.returns('done');
    const view = await endOf(producer, id);
    const written = (await monitor.stop()).flat().filter((word) => word.includes('"outcome"'));
    assert.deepEqual(written, []);
    assert.deepEqual([outcomesOf(view), view.attempts?.[0]?.worker?.id], [['completed'], view.worker]);
    const fields = Object.keys(await fleet.client.hgetall(`${prefix}:bull:record:${id}`));
    assert.deepEqual(
      fields.filter((name) => /^(try|tries|given_up|unrun|put_off)/.test(name)),
      [],
    );
  });

  it('tells a timeout and a stop apart from a failure, and a task stopped in the queue has none', async () => {
    const late = new ScriptedTask('record.late', { ...retry(2), timeoutMs: 20, retryOnTimeout: true });
    const stopped = new ScriptedTask('record.stopped');
    const { producer } = await ownWorker(fleet, [late.handler, stopped.handler]);
    const { id } = await producer.enqueue(late.definition, {});
    void late.call().then(async (call) => call.throws(await call.aborted));
    (await late.call(1)).returns(1);
    const retried = await endOf(producer, id);
    assert.deepEqual([outcomesOf(retried), retried.attempts?.[0]?.error?.name], [['timed_out', 'completed'], 'TimedOut']);

    const [running, waiting] = [
      await producer.enqueue(stopped.definition, {}),
      await producer.enqueue(stopped.definition, {}, { delay: 60_000 }),
    ];
    void stopped.call().then(async (call) => call.throws(await call.aborted));
    await stopped.call();
    await producer.stop(running.id, { waitMs: 60_000 });
    await producer.stop(waiting.id, { waitMs: 60_000 });
    const cancelled = (await producer.get(running.id)) as TaskView;
    assert.deepEqual([outcomesOf(cancelled), cancelled.attempts?.[0]?.error, cancelled.attempt], [['cancelled'], null, 1]);
    assert.deepEqual(numbersOf((await producer.get(waiting.id)) as TaskView), []);
  });

  it('counts no fetch by a worker without its handler', async () => {
    const task = new ScriptedTask('record.unknown');
    const { prefix, producer, worker } = await ownWorker(fleet, [new ScriptedTask('record.other').handler]);
    const { id } = await producer.enqueue(task.definition, {});
    const key = `${prefix}:bull:record:${id}`;
    await until(
      () => fleet.client.hget(key, 'tries'),
      (tries) => tries === '-2',
    );
    await worker.stop();
    await fleet.worker(prefix, [task.handler]);
    (await task.call()).throws(new Error('once'));
    const view = await endOf(producer, id);
    assert.deepEqual([view.attempt, numbersOf(view), outcomesOf(view)], [1, [1], ['failed']]);
    const { ats, tries, ...hash } = await fleet.client.hgetall(key);
    assert.deepEqual([Number(ats) + Number(tries), 'try1' in hash], [1, true], `${ats} fetches`);
  });

  it('has none for a task whose stop its worker finds at the fetch, which is no failure', async () => {
    const task = new ScriptedTask('record.fetched');
    const log = new LogLines();
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const { id } = await producer.enqueue(task.definition, {});
    // As left by a stop whose caller died before it took the job.
    await fleet.client.hset(`${prefix}:bull:record:${id}`, 'stop', '{"reason":"enough","by":null,"at":1}', 'defa', 'Stopped: enough');
    await fleet.worker(prefix, [task.handler], { loggers: log.loggers });
    const view = await until(
      () => producer.get(id),
      (found) => found?.state === 'cancelled',
    );
    assert.deepEqual([view?.attempt, view?.attempts, view?.error], [0, [], 'Stopped: enough']);
    await fleet.emptied(prefix);
    assert.deepEqual(log.find(/failed/), []);
  });

  it('has the attempts that their worker did not end: handed back at a shutdown, or without its lock', async () => {
    const task = new ScriptedTask('record.handed');
    const { prefix, producer, worker } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    await task.call();
    await worker.stop();
    const requeued = (await producer.get(id)) as TaskView;
    assert.deepEqual([requeued.state, requeued.attempt, numbersOf(requeued), outcomesOf(requeued)], ['queued', 0, [1], ['requeued']]);

    const log = new LogLines();
    await fleet.worker(prefix, [task.handler], { loggers: log.loggers });
    const call = await task.call(1);
    const lock = `${prefix}:bull:record:${id}:lock`;
    await fleet.client.set(lock, 'of another worker');
    call.returns('too late');
    await log.waitFor(/^The lock was gone when the task finished$/);
    const view = await until(
      () => producer.get(id),
      (found) => found?.attempts?.at(-1)?.outcome === 'lock_lost',
    );
    assert.deepEqual(
      [numbersOf(view as TaskView), outcomesOf(view as TaskView)],
      [
        [1, 1],
        ['requeued', 'lock_lost'],
      ],
    );
  });
});
