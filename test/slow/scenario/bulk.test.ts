import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { Bulk } from '../../../dashboard/api/schemas/bulk.js';
import type { Producer } from '../../../producer/index.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { readOptions } from '../../../shared/task/job-options.js';
import { TestDashboard } from '../../dashboard/test-dashboard.js';
import { QUICK, ScenarioWorkers } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import type { RequestPattern } from '../../support/network/fault-proxy.js';
import { FleetProxy } from '../../support/network/fleet-proxy.js';
import { startCommand } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const TASKS = 5_000;
const OTHERS = 200;
const REASON = 'the tenant left';
/** Settings of a worker in this process: with so many tasks, a busy machine renews shorter locks too late, and tasks would run again. */
const BUSY = { concurrency: 500, lockMs: 600_000, connectTimeoutMs: 60_000 };

/** Five thousand tasks, and a bulk whose worker is killed half way. */
describe('A bulk of 5,000 tasks', () => {
  let fleet: TestFleet;
  let keyPrefix: string;
  let producer: Producer;
  let dashboard: TestDashboard;
  let workers: ScenarioWorkers;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(async () => {
    keyPrefix = fleet.newPrefix();
    // This process is busy for seconds while it enqueues.
    producer = fleet.producer({ keyPrefix, connectTimeoutMs: 60_000 });
    dashboard = await TestDashboard.start(producer);
    // They run bulks, and none of the tasks.
    workers = new ScenarioWorkers(fleet.redis, keyPrefix, { ...QUICK, WORKER_QUEUES: 'maintenance' });
  });
  afterEach(async () => {
    await workers.stop();
    await dashboard.stop();
  });
  after(() => fleet.stop());

  const env = (): Record<string, string> => ({ TASKFLEET_API: dashboard.url, TASKFLEET_TOKEN: dashboard.tokens.operator });
  const overRedis = (): Record<string, string> => ({
    REDIS_URL: fleet.redis.url,
    REDIS_KEY_PREFIX: keyPrefix,
    REDIS_CLUSTER: String(fleet.redis.topology === 'cluster'),
  });

  async function add(task: ScriptedTask, many: number, tags: readonly string[]): Promise<string[]> {
    const tasks = Array.from({ length: many }, (_, n) => ({ input: n, tags }));
    return (await producer.enqueueMany(task.definition, tasks)).map(({ id }) => id);
  }

  /** Adds tasks that have failed. */
  async function fail(name: string, many: number): Promise<string[]> {
    const task = new ScriptedTask(name);
    const handler = defineHandler(task.definition, () => Promise.reject(new Error('no mail server')));
    const worker = await fleet.worker(keyPrefix, [handler], BUSY);
    const ids = await add(task, many, []);
    const failed = fleet.keys(keyPrefix).kept(task.definition.queue, 'failed', name);
    await until(
      () => fleet.client.zcard(failed),
      (count) => count === many,
      { everyMs: 100, timeoutMs: 180_000 },
    );
    await worker.stop();
    return ids;
  }

  const read = async (id: string): Promise<Bulk> =>
    (await dashboard.send('GET', `/api/v1/bulk/${id}`, { token: dashboard.tokens.operator })).body as Bulk;
  const doneOf = async (id: string): Promise<number> => Number((await fleet.client.hget(fleet.keys(keyPrefix).bulk(id), 'done')) ?? 0);

  /** Matches the stop of the page with the middle one of these tasks; a search may read all of them first. */
  const stopsHalf = (ids: readonly string[]): RequestPattern => {
    return (request) => request.includes(ids[TASKS / 2] as string) && request.includes(REASON);
  };

  /** Kills the worker of a bulk at a request half way, and starts another one. */
  async function killHalfWay(id: string, half: RequestPattern): Promise<void> {
    const proxy = await FleetProxy.start(fleet.redis);
    const held = proxy.halfOpenAt(half);
    const worker = await workers.start(proxy.env);
    await held;
    worker.kill('SIGKILL');
    await worker.exit;
    await proxy.stop();
    const done = await doneOf(id);
    assert.ok(done > 0 && done < TASKS, `${done} tasks were done`);
    await workers.start();
  }

  async function receiptsOf(id: string): Promise<{ id: string; outcome: string }[]> {
    const receipts: { id: string; outcome: string }[] = [];
    for (let position: string | null = '0'; position !== null;) {
      const path = `/api/v1/bulk/${id}/receipts?limit=1000&after=${position}`;
      const { body } = await dashboard.send('GET', path, { token: dashboard.tokens.operator });
      const page = body as { receipts: { id: string; outcome: string }[]; next: string | null };
      receipts.push(...page.receipts);
      position = page.next;
    }
    return receipts;
  }

  async function audited(): Promise<string[][]> {
    const entries = await fleet.client.xrange(fleet.keys(keyPrefix).audit, '-', '+');
    return entries.map(([, fields]) => ['name', 'action', 'result'].map((name) => fields[fields.indexOf(name) + 1] ?? ''));
  }

  it('retries all failed tasks of invoice.send in the last hour once, over the API', async () => {
    const ids = await fail('invoice.send', TASKS);
    const others = await fail('invoice.void', OTHERS);
    const body = { filter: { name: 'invoice.send', state: 'failed', finished_after: '1h' }, reason: 'mail server is back' };
    const started = await dashboard.send('POST', '/api/v1/tasks/retry', { token: dashboard.tokens.operator, body });
    const { id } = started.body as Bulk;
    assert.equal(started.status, 202);
    await killHalfWay(id, ids[TASKS / 2] as string);
    const bulk = await until(
      () => read(id),
      ({ state }) => state === 'completed',
      { everyMs: 100 },
    );
    assert.deepEqual([bulk.total, bulk.matched, bulk.outcomes], [TASKS, TASKS, { retried: TASKS, not_retryable: 0, not_found: 0 }]);
    assert.ok(((await producer.get(id))?.attempt ?? 0) > 1, 'another worker went on');
    const receipts = await receiptsOf(id);
    assert.equal(receipts.length, TASKS);
    assert.deepEqual(new Set(receipts.map((receipt) => receipt.id)), new Set(ids));
    assert.deepEqual(
      [await producer.count({ state: 'queued', name: 'invoice.send' }), await producer.count({ state: 'failed', name: 'invoice.*' })],
      [
        { count: TASKS, complete: true },
        { count: OTHERS, complete: true },
      ],
    );
    const jobs = fleet.keys(keyPrefix).jobs('invoice');
    for (const one of others.slice(0, 20))
      assert.equal(readOptions(await fleet.client.hget(jobs + one, 'opts')).retriedAt, undefined, 'no other task was touched');
    // Each runs once more, and once only.
    const task = new ScriptedTask('invoice.send');
    const runs = new Map<string, number>();
    for (let n = 0; n < TASKS; n += 1)
      void task.call(n).then((call) => {
        runs.set(call.context.id, (runs.get(call.context.id) ?? 0) + 1);
        call.returns();
      });
    const worker = await fleet.worker(keyPrefix, [task.handler], BUSY);
    await until(
      () => fleet.client.zcard(`${fleet.keys(keyPrefix).jobs(task.definition.queue)}completed`),
      (count) => count === TASKS,
      { everyMs: 100, timeoutMs: 180_000 },
    );
    await worker.stop();
    assert.deepEqual([runs.size, task.calls.length, new Set(runs.keys())], [TASKS, TASKS, new Set(ids)]);
    assert.deepEqual(await audited(), [
      ['operator', 'tasks.retry', id],
      ['operator', 'tasks.retry (end)', `${id} completed: 5,000 tasks: 5,000 retried`],
    ]);
  });

  it('stops everything of tenant 7, from the CLI over the API', async () => {
    const task = new ScriptedTask('invoice.send');
    const ids = await add(task, TASKS, ['tenant:7']);
    const others = await add(task, OTHERS, ['tenant:8']);
    const stopping = runCli(['task', 'stop', '--tag', 'tenant:7', '--reason', REASON, '--yes', '-o', 'json'], { env: env() });
    const { tasks } = await until(
      () => producer.list({ queue: 'maintenance' }),
      (page) => page.tasks.length === 1,
    );
    await killHalfWay(tasks[0]?.id ?? '', stopsHalf(ids));
    const { code, stdout, stderr } = await stopping;
    // The command says so if no worker has begun for a while.
    assert.deepEqual([code, stderr.replace(/^Bulk \S+ waits for a worker\.$/, '')], [0, '']);
    const { outcomes, receipts } = JSON.parse(stdout) as { outcomes: Record<string, number>; receipts: { id: string; by: string }[] };
    assert.deepEqual(outcomes, { cancelled: TASKS, requested: 0, finished: 0, not_found: 0 });
    assert.deepEqual([receipts.length, new Set(receipts.map(({ id }) => id))], [TASKS, new Set(ids)]);
    assert.ok(receipts.every(({ by }) => by === 'operator'));
    assert.deepEqual([(await producer.count({ state: 'cancelled' })).count, (await producer.count()).count], [TASKS, OTHERS]);
    assert.equal((await producer.get(others[0] ?? ''))?.stop, null);
    assert.equal((await audited()).length, 2);
  });

  it('is done in two calls if the command is killed, and in one by the library', async () => {
    const task = new ScriptedTask('invoice.send');
    const ids = await add(task, TASKS, ['tenant:7']);
    const others = await add(task, OTHERS, ['tenant:8']);
    const args = ['task', 'stop', '--tag', 'tenant:7', '--reason', REASON, '--yes'];
    const proxy = await FleetProxy.start(fleet.redis);
    const held = proxy.halfOpenAt(stopsHalf(ids));
    const killed = startCommand(args, { env: { ...overRedis(), ...proxy.env } });
    const cancelled = async (): Promise<number> => (await producer.count({ state: 'cancelled' })).count;
    await held;
    killed.kill('SIGKILL');
    await killed.exit;
    await proxy.stop();
    const stopped = await cancelled();
    assert.ok(stopped > 0 && stopped < TASKS, `${stopped}`);
    const rest = await runCli([...args, '-o', 'json'], { env: overRedis() });
    const { matched } = JSON.parse(rest.stdout) as { matched: number };
    // The killed command may have stopped a part of a page more than were counted.
    assert.ok(matched > 0 && matched <= TASKS - stopped, `${matched}`);
    assert.equal(await cancelled(), TASKS);
    const { outcomes, receipts } = await producer.retryWhere({ state: 'cancelled', tag: 'tenant:7' });
    assert.deepEqual([outcomes['retried'], new Set(receipts.map(({ id }) => id))], [TASKS, new Set(ids)]);
    const again = await producer.stopWhere({ tag: 'tenant:7' }, { reason: 'again' });
    assert.deepEqual([again.outcomes['cancelled'], again.receipts.length], [TASKS, TASKS]);
    assert.deepEqual([(await producer.count()).count, (await producer.get(others[0] ?? ''))?.state], [OTHERS, 'queued']);
  });
});
