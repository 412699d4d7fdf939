import assert from 'node:assert/strict';
import { type TestContext, after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Queue, RedisQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import type { FleetWorker, WorkerConfig } from '../../../worker/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const REPLACED = /Queue worker fetches nothing/;
/** A busy machine answers fetches sooner. */
const STALL_MS = 1_500;
const NEVER = (): Promise<never> => new Promise(() => undefined);

interface Watched {
  readonly fleet: TestFleet;
  readonly prefix: string;
  readonly producer: Producer;
  readonly worker: FleetWorker;
  readonly task: ScriptedTask;
  readonly log: LogLines;
}

/** Starts a worker with one task, `stall.task` on the queue `stall`, and a short stall time. */
async function watch(fleet: TestFleet, config: Partial<WorkerConfig> = {}): Promise<Watched> {
  const prefix = fleet.newPrefix();
  const task = new ScriptedTask('stall.task');
  const log = new LogLines();
  const worker = await fleet.worker(prefix, [task.handler], { fetchStallMs: STALL_MS, loggers: log.loggers, ...config });
  return { fleet, prefix, task, log, worker, producer: fleet.producer({ keyPrefix: prefix }) };
}

/** Makes the next call of a backend method on the queue `stall` hang forever once `next` is set. */
function hang(t: TestContext, method: 'waitForJob' | 'moveToActive'): { hung: number; next: boolean } {
  const state = { hung: 0, next: false };
  const original = RedisQueueBackend.prototype[method] as (...args: unknown[]) => Promise<unknown>;
  t.mock.method(RedisQueueBackend.prototype, method, function hanging(this: RedisQueueBackend, ...args: unknown[]) {
    if (!state.next || !this.qualifiedName.endsWith(':stall')) return original.apply(this, args);
    state.next = false;
    state.hung += 1;
    return NEVER();
  });
  return state;
}

describe('A stalled queue worker', () => {
  const LOCK_MS = 4_000;
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('is replaced, and its running task continues, once', async (t) => {
    const waits = hang(t, 'waitForJob');
    const { prefix, producer, worker, task, log } = await watch(fleet, { concurrency: 3, lockMs: LOCK_MS, stalledCheckMs: 500 });
    const connected = await connections(fleet, prefix);
    const long = await producer.enqueue(task.definition, {}, { item: 'a' });
    const running = await task.call(0);
    waits.next = true;
    await until(
      () => waits.hung,
      (hung) => hung === 1,
    );
    const waiting = await producer.enqueue(task.definition, {}, { item: 'a' });
    const next = await task.call(1);
    assert.equal(next.context.id, waiting.id);
    const [line, ...more] = log.find(REPLACED);
    assert.deepEqual([line?.['queue'], line?.['waiting'], line?.['running'], more.length], ['stall', 1, 1, 0]);
    assert.ok(Number(line?.['silentMs']) >= STALL_MS, `silent for ${String(line?.['silentMs'])} ms`);
    assert.equal(worker.status().replaced, 1);
    // Longer than the lock: without renewals, BullMQ would run the task again as stalled.
    const lock = `${fleet.keys(prefix).jobs('stall')}${long.id}:lock`;
    const held = await fleet.client.pexpiretime(lock);
    await until(
      () => fleet.client.pexpiretime(lock),
      (at) => at > held + LOCK_MS || at < 0,
      { everyMs: 10 },
    );
    running.returns('kept');
    next.returns('done');
    assert.deepEqual([await producer.result(long.id), await producer.result(waiting.id)], ['kept', 'done']);
    assert.equal(task.calls.length, 2);
    assert.equal(log.find(/stalled/).length, 0);
    await until(
      () => connections(fleet, prefix),
      (now) => now === connected,
    );
    await fleet.emptied(prefix);
  });

  it('starts the job that it fetched but whose start its fetch loop did not reach', async (t) => {
    const fetches = hang(t, 'moveToActive');
    const { producer, task, log } = await watch(fleet, { concurrency: 2 });
    await producer.enqueue(task.definition, {});
    const first = await task.call(0);
    fetches.next = true;
    const second = await producer.enqueue(task.definition, {});
    await until(
      () => fetches.hung,
      (hung) => hung === 1,
    );
    const third = await producer.enqueue(task.definition, {});
    first.returns();
    const calls = await Promise.all([task.call(1), task.call(2)]);
    assert.deepEqual(calls.map(({ context }) => context.id).toSorted(), [second.id, third.id].toSorted());
    for (const call of calls) call.returns('ran');
    assert.deepEqual([await producer.result(second.id), await producer.result(third.id)], ['ran', 'ran']);
    assert.equal(log.find(REPLACED).length, 1);
    assert.equal(task.calls.length, 3);
  });

  it('is replaced when the connection that waits for tasks is silently dead', async (t) => {
    const clients: Redis[] = [];
    const original = RedisQueueBackend.prototype['waitForJob'];
    t.mock.method(RedisQueueBackend.prototype, 'waitForJob', function waitForJob(this: RedisQueueBackend, timeout: number) {
      if (this.qualifiedName.endsWith(':stall')) clients.push((this.blockingConnection as unknown as Record<'_client', Redis>)['_client']);
      return original.call(this, timeout);
    });
    const { producer, task, log } = await watch(fleet);
    const client = await until(
      () => clients[0],
      (found) => found !== undefined,
    );
    (client as unknown as { stream: NodeJS.ReadableStream }).stream.pause();
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call()).returns('woken');
    assert.equal(await producer.result(id), 'woken');
    assert.equal(log.find(REPLACED).length, 1);
  });

  it('keeps the number of slots', async (t) => {
    const waits = hang(t, 'waitForJob');
    const { producer, task } = await watch(fleet, { concurrency: 2 });
    await producer.enqueue(task.definition, {});
    const first = await task.call(0);
    waits.next = true;
    await until(
      () => waits.hung,
      (hung) => hung === 1,
    );
    for (let more = 0; more < 3; more += 1) await producer.enqueue(task.definition, {});
    await task.call(1);
    await delay(2 * STALL_MS); // several checks
    assert.equal(task.calls.length, 2);
    first.returns();
    const third = await task.call(2);
    third.returns();
    (await task.call(3)).returns();
    task.calls[1]?.returns();
  });
});

describe('A queue worker is not replaced while', { concurrency: 4 }, () => {
  /** Three times the stall time: no signal tells that nothing happened. */
  const QUIET_MS = 3 * STALL_MS;

  async function leftAlone(
    prepare: (watched: Watched, queue: Queue) => Promise<unknown>,
    config: Partial<WorkerConfig> = {},
  ): Promise<void> {
    const fleet = await TestFleet.start();
    try {
      const watched = await watch(fleet, config);
      const queue = new Queue('stall', { connection: fleet.redis.client(), prefix: `${watched.prefix}:bull` });
      queue.on('error', () => undefined); // lost connections
      await prepare(watched, queue);
      await delay(QUIET_MS);
      assert.deepEqual(watched.log.find(REPLACED), []);
      assert.equal(watched.worker.status().replaced, 0);
      await queue.close();
    } finally {
      await fleet.stop();
    }
  }

  const add = async ({ producer, task }: Watched, count: number): Promise<void> => {
    for (let some = 0; some < count; some += 1) await producer.enqueue(task.definition, {});
  };

  it('no task waits', () => leftAlone(() => Promise.resolve()));

  it('all tasks are delayed', () => leftAlone(({ producer, task }) => producer.enqueue(task.definition, {}, { delay: 600_000 })));

  it('the queue is paused', () =>
    leftAlone(async (watched, queue) => {
      await queue.pause();
      await add(watched, 2);
    }));

  it('the queue is rate-limited', () =>
    leftAlone(async (watched, queue) => {
      await queue.setGlobalRateLimit(1, 600_000);
      await add(watched, 1);
      (await watched.task.call()).returns();
      await add(watched, 2);
    }));

  it('the queue is at its global concurrency', () =>
    leftAlone(async (watched, queue) => {
      await queue.setGlobalConcurrency(1);
      await add(watched, 3);
      await watched.task.call();
    }));

  it('all slots are taken', () =>
    leftAlone(
      async (watched) => {
        await add(watched, 3);
        await watched.task.call(1);
      },
      { concurrency: 2 },
    ));

  it('the waiting tasks have no handler', () =>
    leftAlone((_, queue) => queue.addBulk(Array.from({ length: 5 }, () => ({ name: 'stall.unknown', data: {} })))));

  it('Redis pauses writes', () =>
    leftAlone(async ({ fleet, producer, task }) => {
      await producer.enqueue(task.definition, {}, { delay: 300 });
      await fleet.client.client('PAUSE', QUIET_MS + 500, 'WRITE');
    }));

  it('Redis refuses writes', () =>
    leftAlone(async (watched) => {
      await watched.producer.enqueue(watched.task.definition, {}, { delay: 300 });
      await watched.fleet.client.config('SET', 'min-replicas-to-write', '1');
      await watched.log.waitFor(/Redis refuses fetches/);
    }));

  it('Redis hangs', () =>
    leftAlone(async ({ fleet, producer, task }) => {
      await producer.enqueue(task.definition, {}, { delay: 300 });
      process.kill(fleet.redis.pid, 'SIGSTOP');
      setTimeout(() => process.kill(fleet.redis.pid, 'SIGCONT'), QUIET_MS);
    }));

  it('Redis restarts with waiting tasks', () =>
    leftAlone(async ({ fleet, producer, task }) => {
      await producer.enqueue(task.definition, {}, { delay: 300 });
      await fleet.redis.kill();
      await delay(2 * STALL_MS);
      await fleet.redis.restart();
    }));

  it('this process is blocked', () =>
    leftAlone(async (watched) => {
      await add(watched, 2);
      const end = performance.now() + 2 * STALL_MS;
      while (performance.now() < end);
    }));
});

describe('A queue with a key of the wrong type', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  const BREAKS: Readonly<Record<string, (queue: Queue, client: Redis) => Promise<unknown>>> = {
    'wait, overwritten by a job with that id': (queue) => queue.add('stall.task', {}, { jobId: 'wait' }).catch(() => undefined),
    active: (_, client) => client.set(keyOf('active'), 'a string'),
    marker: (_, client) => client.set(keyOf('marker'), 'a string'),
    prioritized: (_, client) => client.set(keyOf('prioritized'), 'a string'),
  };
  let keyOf = (name: string): string => name;

  for (const [name, breaks] of Object.entries(BREAKS)) {
    it(`(${name}) is fetched from with backoff and reported once; the reported command repairs it, and other queues go on`, async (t) => {
      const other = new ScriptedTask('other.task');
      const stalling = defineTask({ name: 'stall.task', input: z.unknown(), retention: KEEP });
      const log = new LogLines();
      const prefix = fleet.newPrefix();
      const queue = new Queue('stall', { connection: fleet.client, prefix: fleet.keys(prefix).bull('stall') });
      keyOf = (key) => `${fleet.keys(prefix).jobs('stall')}${key}`;
      let fetches = 0;
      for (const method of ['moveToActive', 'waitForJob'] as const) {
        const original = RedisQueueBackend.prototype[method] as (...args: unknown[]) => Promise<unknown>;
        t.mock.method(RedisQueueBackend.prototype, method, function counting(this: RedisQueueBackend, ...args: unknown[]) {
          if (this.qualifiedName.endsWith(':stall')) fetches += 1;
          return original.apply(this, args);
        });
      }
      await queue.waitUntilReady();
      await fleet.client.del(keyOf('marker'));
      await breaks(queue, fleet.client);
      const worker = await fleet.worker(prefix, [defineHandler(stalling, () => 'back'), other.handler], {
        fetchStallMs: STALL_MS,
        loggers: log.loggers,
      });
      await queue.add('stall.task', {}).catch(() => undefined);
      const line = await log.waitFor(/^A queue is broken/);
      assert.equal(line['queue'], 'stall');
      assert.ok(fetches < 60, `${fetches} fetches`);
      const producer = fleet.producer({ keyPrefix: prefix });
      const going = await producer.enqueue(other.definition, {});
      (await other.call(0)).returns('done');
      assert.equal(await producer.result(going), 'done');
      assert.ok(log.lines.filter(({ level }) => level >= 40).length < 10, JSON.stringify(log.lines.filter(({ level }) => level >= 40)));

      const [broken] = worker.status().broken;
      const [, from, to] = /redis-cli RENAME (\S+) (\S+)/.exec(broken?.problem ?? '') ?? [];
      assert.ok(from !== undefined && to !== undefined && from.startsWith(keyOf('')), JSON.stringify(broken));
      await fleet.client.rename(from, to);
      assert.equal(await producer.result(await producer.enqueue(stalling, {})), 'back');
      await until(
        () => worker.status().broken,
        (list) => list.length === 0,
      );
      await queue.close();
    });
  }
});

/** Counts BullMQ's connections that wait for tasks. */
async function connections(fleet: TestFleet, prefix: string): Promise<number> {
  const lines = ((await fleet.client.client('LIST')) as string).trim().split('\n');
  return lines.filter((line) => line.includes(`name=${prefix}:bull:`)).length;
}
