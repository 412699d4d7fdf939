import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { ProducerConfig } from '../../../producer/index.js';
import { type FleetError, isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { deferred } from '../../support/deferred.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });
/** Longer than a slow machine needs, and longer than any test holds the replica. */
const PATIENT = { enqueueWaitReplicas: 1, stopWaitReplicas: 1, waitReplicasTimeoutMs: 20_000 };
const HASTY = { ...PATIENT, waitReplicasTimeoutMs: 100 };

let fleet: TestFleet;
let replica: TestRedis;
let onReplica: Redis;

before(async () => {
  fleet = await TestFleet.start({ config: ['repl-diskless-sync-delay 0'] });
  replica = await startTestRedis({ config: [`replicaof 127.0.0.1 ${fleet.redis.port}`] });
  onReplica = replica.client();
  await until(
    () => fleet.client.info('replication'),
    (info) => info.includes('state=online'),
    { everyMs: 10 },
  );
});

after(async () => {
  await fleet.stop();
  await replica.stop();
});

function setUp(config: Partial<ProducerConfig> = {}) {
  const keyPrefix = fleet.newPrefix();
  const job = (id: string): string => createKeys(keyPrefix).jobs(note.queue) + id;
  return { keyPrefix, job, producer: fleet.producer({ keyPrefix, ...config }) };
}

/** Returns the number of connections blocked in WAIT. */
async function waiting(): Promise<number> {
  const clients = (await fleet.client.client('LIST')) as string;
  return clients.split('\n').filter((client) => / cmd=wait /.test(client) && / flags=\w*b/.test(client)).length;
}

async function countWaits(): Promise<number> {
  return Number(/^cmdstat_wait:calls=(\d+)/m.exec(await fleet.client.info('commandstats'))?.[1] ?? 0);
}

/** Runs `work` while the replica receives no writes. */
async function withoutReplica<Value>(work: () => Promise<Value>): Promise<Value> {
  process.kill(replica.pid, 'SIGSTOP');
  try {
    return await work();
  } finally {
    process.kill(replica.pid, 'SIGCONT');
  }
}

/** Asserts that a call resolves only once the replica has its writes. `written` resolves when the master has them. */
async function whileHeld<Value>(call: () => Promise<Value>, written: () => Promise<unknown>): Promise<Value> {
  let answered = false;
  const answer = await withoutReplica(async () => {
    const calling = call().finally(() => (answered = true));
    await Promise.race([calling, written().then(() => until(waiting, (count) => count > 0))]);
    assert.ok(!answered, 'answered before the replica had it');
    return { calling };
  });
  return answer.calling;
}

async function refusal(call: Promise<unknown>): Promise<FleetError> {
  const error = await call.then(
    () => assert.fail('expected NOT_REPLICATED'),
    (thrown: unknown) => thrown,
  );
  assert.ok(isFleetError(error, 'NOT_REPLICATED'), String(error));
  return error;
}

test('an enqueue resolves when the replica has the task and its registration', async () => {
  const { keyPrefix, producer, job } = setUp(PATIENT);
  await producer.ping();
  const { tasks } = createKeys(keyPrefix);
  await whileHeld(
    () => producer.enqueue(note, {}, { id: 'a' }),
    () => until(() => fleet.client.exists(job('a')), Boolean),
  );
  assert.deepEqual([await onReplica.hget(job('a'), 'name'), await onReplica.hget(tasks, 'a')], ['note.take', '']);
  for (let round = 0; round < 100; round += 1) {
    const { id } = await producer.enqueue(note, {});
    assert.equal(await onReplica.exists(job(id)), 1);
  }
});

test('a stop of a queued task resolves when the replica has its end', async () => {
  const { producer, job } = setUp(PATIENT);
  await producer.enqueue(note, {}, { id: 'a' });
  const receipt = await whileHeld(
    () => producer.stop('a', { reason: 'enough' }),
    () => until(() => fleet.client.hexists(job('a'), 'finishedOn'), Boolean),
  );
  assert.deepEqual([receipt.outcome, await onReplica.hget(job('a'), 'stop_via')], ['cancelled', 'queue']);
});

test('a stop of a running task resolves when the replica has its record, and says cancelled once it has the end', async () => {
  const { keyPrefix, producer, job } = setUp(PATIENT);
  const [started, released, aborted] = [deferred(), deferred(), deferred()];
  const handler = defineHandler(note, async ({ signal }) => {
    signal.addEventListener('abort', () => aborted.resolve());
    started.resolve();
    await released.promise;
    signal.throwIfAborted();
  });
  await fleet.worker(keyPrefix, [handler], { stopGraceMs: 60_000 });
  await producer.enqueue(note, {}, { id: 'a' });
  await started.promise;
  const requested = await whileHeld(
    () => producer.stop('a'),
    () => until(() => fleet.client.hexists(job('a'), 'stop'), Boolean),
  );
  assert.deepEqual([requested.outcome, await onReplica.hexists(job('a'), 'stop')], ['requested', 1]);
  await aborted.promise;
  const asked = await countWaits();
  const stopping = producer.stop('a', { waitMs: 60_000 });
  await until(countWaits, (count) => count > asked);
  await until(waiting, (count) => count === 0);
  const end = async (): Promise<unknown> => {
    released.resolve();
    return until(() => fleet.client.hexists(job('a'), 'finishedOn'), Boolean);
  };
  const receipt = await whileHeld(() => stopping, end);
  assert.deepEqual([receipt.outcome, await onReplica.hget(job('a'), 'stop_via')], ['cancelled', 'signal']);
});

test('a task that the replica lacks at the timeout exists, and may be enqueued again', async () => {
  const { producer, job } = setUp(HASTY);
  const error = await withoutReplica(() => refusal(producer.enqueue(note, {})));
  const { ids, replicas, wanted } = error.details as { ids: [string]; replicas: number; wanted: number };
  assert.deepEqual([ids.length, replicas, wanted], [1, 0, 1]);
  assert.equal(
    error.message,
    `Task ${ids[0]} was added, but only 0 of 1 replicas acknowledged it within 100 ms: a failover may lose it. ` +
      'Until a failover it stands; repeating the call is safe.',
  );
  assert.equal(await fleet.client.exists(job(ids[0])), 1);
  const again = await producer.enqueue(note, {}, { id: ids[0] });
  assert.deepEqual([again.duplicate, await onReplica.exists(job(ids[0]))], [true, 1]);
  const { message } = await withoutReplica(() => refusal(producer.enqueue(note, {}, { id: ids[0] })));
  assert.match(message, /^Task \S+ is there, but /);
});

test('a stop that the replica lacks at the timeout is recorded, and may be repeated', async () => {
  const { producer, job } = setUp({ ...HASTY, enqueueWaitReplicas: 0 });
  const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  await producer.enqueueMany(
    note,
    ids.map((id) => ({ input: {}, id, item: 'chat' })),
  );
  const one = await withoutReplica(() => refusal(producer.stop('a', { reason: 'enough', by: 'ada' })));
  assert.match(one.message, /^The stop of task a is recorded, but only 0 of 1 replicas acknowledged it within 100 ms: /);
  const [receipt] = one.details['receipts'] as Record<string, unknown>[];
  assert.deepEqual([receipt?.['id'], receipt?.['outcome'], receipt?.['by']], ['a', 'cancelled', 'ada']);
  assert.equal(await fleet.client.hget(job('a'), 'stop_via'), 'queue');
  const many = await withoutReplica(() => refusal(producer.stopItem('chat')));
  assert.match(many.message, /^The stops of tasks \w, \w, \w, \w, \w and 1 more are recorded, /);
  assert.deepEqual((many.details['ids'] as string[]).toSorted(), ids.slice(1));
  const receipts = await producer.stop(ids, { reason: 'another' });
  assert.deepEqual(
    receipts.map(({ outcome, reason }) => [outcome, reason]),
    [['cancelled', 'enough'], ...ids.slice(1).map(() => ['cancelled', null])],
  );
  assert.equal(await onReplica.hget(job('g'), 'stop_via'), 'queue');
});

test('the error names all tasks that the replica lacks', async () => {
  const { producer } = setUp(HASTY);
  const error = await withoutReplica(() =>
    refusal(
      producer.enqueueMany(
        note,
        ['a', 'b', 'c'].map((id) => ({ input: {}, id })),
      ),
    ),
  );
  assert.deepEqual(error.details['ids'], ['a', 'b', 'c']);
  assert.match(error.message, /^3 tasks were added, a and others, but only 0 of 1 replicas /);
});

test('tasks that the replica lacks do not keep back the rest of a long enqueueMany', async () => {
  const { keyPrefix, producer } = setUp({ ...HASTY, waitReplicasTimeoutMs: 20 });
  const count = 1_100;
  const error = await withoutReplica(() =>
    refusal(
      producer.enqueueMany(
        note,
        Array.from({ length: count }, () => ({ input: {} })),
      ),
    ),
  );
  assert.equal((error.details['ids'] as string[]).length, count);
  assert.equal(await fleet.client.llen(`${createKeys(keyPrefix).jobs(note.queue)}wait`), count);
});

test('a connection lost during the wait is no error: the task is looked up', async () => {
  const { producer, job } = setUp(PATIENT);
  await producer.ping();
  const { enqueueing } = await withoutReplica(async () => {
    const call = producer.enqueue(note, {}, { id: 'a' });
    await until(waiting, (count) => count > 0);
    const clients = (await fleet.client.client('LIST')) as string;
    // Other tests' producers use it too, but none of them has a pending call.
    for (const [, id] of clients.matchAll(/^id=(\d+) .* name=taskfleet:producer /gm)) await fleet.client.client('KILL', 'ID', Number(id));
    return { enqueueing: call };
  });
  assert.equal((await enqueueing).duplicate, false);
  assert.equal(await onReplica.exists(job('a')), 1);
  assert.equal((await producer.list()).tasks.length, 1);
});

test('a superseding task stops the others even if the replica lags', async () => {
  const { producer, job } = setUp(HASTY);
  await producer.enqueue(note, {}, { id: 'old', item: 'chat' });
  const newer = { id: 'new', item: 'chat', onBusy: 'stop-previous' } as const;
  const error = await withoutReplica(() => refusal(producer.enqueue(note, {}, newer)));
  assert.match(error.message, /^Task new was added and old stopped, but /);
  assert.equal(await fleet.client.hget(job('old'), 'stop_via'), 'queue');
  assert.equal((await producer.enqueue(note, {}, newer)).duplicate, true);
});

test('a stop waits for its replica also when Redis is out of memory', async () => {
  const { producer, job } = setUp(PATIENT);
  await producer.enqueue(note, {}, { id: 'a' });
  await fleet.client.config('SET', 'maxmemory', '1');
  try {
    assert.equal((await producer.stop('a')).outcome, 'cancelled');
    assert.equal(await onReplica.hget(job('a'), 'stop_via'), 'queue');
  } finally {
    await fleet.client.config('SET', 'maxmemory', '0');
  }
});

test('calls without writes do not wait for a replica', async () => {
  const { producer } = setUp(HASTY);
  await withoutReplica(async () => {
    assert.equal((await producer.stop('nobody')).outcome, 'not_found');
    assert.deepEqual(await producer.stopItem('nothing'), []);
    assert.equal(await producer.get('nobody'), null);
  });
});

test('500 concurrent enqueues send only a few WAITs', async () => {
  const { producer } = setUp(PATIENT);
  await producer.enqueue(note, {});
  const before500 = await countWaits();
  await Promise.all(Array.from({ length: 500 }, () => producer.enqueue(note, {})));
  const sent = (await countWaits()) - before500;
  // Two or three, because an enqueue cannot use a WAIT that started before its write.
  assert.ok(sent >= 1 && sent <= 20, `${sent} WAITs`);
});

test('by default no WAIT is sent and no connection is opened for it', async () => {
  const { producer } = setUp();
  const sent = await countWaits();
  await withoutReplica(async () => {
    const task = await producer.enqueue(note, {}, { id: 'a' });
    assert.equal((await producer.stop(task)).outcome, 'cancelled');
  });
  assert.equal(await countWaits(), sent);
});

test('one connection waits for enqueues and one for stops, and close ends both', async () => {
  const { producer } = setUp(PATIENT);
  const connections = async (): Promise<number> =>
    ((await fleet.client.client('LIST')) as string).split('name=taskfleet:producer:replicas ').length - 1;
  const others = await connections();
  await Promise.all(Array.from({ length: 100 }, async () => producer.stop(await producer.enqueue(note, {}))));
  assert.equal((await connections()) - others, 2);
  await producer.close();
  await until(connections, (count) => count === others);
});

test('a Redis without replicas is reported from the first call on', async () => {
  const alone = await TestFleet.start();
  try {
    const producer = alone.producer(HASTY);
    for (let call = 0; call < 2; call += 1)
      assert.match((await refusal(producer.enqueue(note, {}, { id: 'a' }))).message, /0 of 1 replicas acknowledged it/);
    assert.match((await refusal(producer.stop('a'))).message, /^The stop of task a is recorded, /);
  } finally {
    await alone.stop();
  }
});
