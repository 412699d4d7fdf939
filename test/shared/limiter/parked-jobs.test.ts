import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type JobsOptions, Worker } from 'bullmq';
import { PARKED_AT, ParkedJobs, isParked } from '../../../shared/limiter/parked-jobs.js';
import type { Store } from '../../../shared/store.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

/** Opens a fleet with its parked jobs. */
function open() {
  const store = fleet.store();
  const parked = new ParkedJobs(store.redis, store.queues, store.keys);
  return { store, parked, ...jobsOf(store, 'q') };
}

function jobsOf({ queues, keys }: Store, queue: string) {
  const add = async (id: string, options: JobsOptions = {}): Promise<void> => {
    const timestamp = Date.now();
    await queues.get(queue).add('n', {}, { jobId: id, timestamp, delay: PARKED_AT - timestamp, ...options });
  };
  const key = (name: string): string => keys.jobs(queue) + name;
  return { add, key };
}

/** Fetches the next jobs of the queue as a worker would, until there is none. */
async function fetched({ keys }: Store, queue: string): Promise<string[]> {
  const worker = new Worker(queue, null, { connection: fleet.redis.client(), prefix: keys.bull(queue), autorun: false });
  const ids: string[] = [];
  for (let job = await worker.getNextJob('t', { block: false }); job; job = await worker.getNextJob('t', { block: false }))
    ids.push(job.id as string);
  await worker.close();
  return ids;
}

test('The score of a parked job is a whole number, and no other task can be delayed that far for years', () => {
  assert.ok(Number.isSafeInteger((PARKED_AT + 1) * 4_096 - 1));
  assert.deepEqual([isParked(PARKED_AT), isParked(PARKED_AT - 3_600_000), isParked(Date.UTC(2038, 11, 1))], [true, true, false]);
});

test('Admitted jobs are queued in their order, by their priority and on each queue', async () => {
  const { store, parked, add, key } = open();
  const other = jobsOf(store, 'other');
  const jobs: [id: string, options: JobsOptions][] = [
    ['low', { priority: 9 }],
    ['second', {}],
    ['high', { priority: 3 }],
    ['first', {}],
    ['third', {}],
  ];
  for (const [id, options] of jobs) await add(id, options);
  await other.add('there');
  assert.deepEqual(await fetched(store, 'q'), []);
  const order = ['first', 'second', 'low', 'high', 'third'];
  const admitted = [...order.map((id) => ({ id, queue: 'q', at: 0 })), { id: 'there', queue: 'other', at: 0 }];
  assert.deepEqual(await parked.unpark(admitted), []);
  assert.equal(await client.zscore(key('marker'), '0'), '0', 'an idle worker wakes up');
  assert.deepEqual(await parked.unpark(admitted), [], 'again');
  assert.deepEqual([await fetched(store, 'q'), await fetched(store, 'other')], [['first', 'second', 'third', 'high', 'low'], ['there']]);
  assert.equal(await client.hget(key('first'), 'delay'), '0');
  const events = await client.xrange(key('events'), '-', '+');
  assert.equal(events.filter(([, fields]) => fields.join(' ') === 'event waiting jobId first prev delayed').length, 1);
});

test('A job with a time is delayed until then, and one whose time has come is queued', async () => {
  const { store, parked, add, key } = open();
  for (const id of ['soon', 'late', 'due']) await add(id);
  const at = Date.now() + 60_000;
  await parked.unpark([
    { id: 'late', queue: 'q', at: at + 5 },
    { id: 'soon', queue: 'q', at },
    { id: 'due', queue: 'q', at: 1_000 },
  ]);
  const dueOf = async (id: string): Promise<number> => Math.floor(Number(await client.zscore(key('delayed'), id)) / 4_096);
  assert.deepEqual([await dueOf('soon'), await dueOf('late'), await client.zscore(key('marker'), '1')], [at, at + 5, String(at)]);
  assert.ok(Number(await client.hget(key('soon'), 'delay')) > 50_000);
  assert.deepEqual(await fetched(store, 'q'), ['due']);
});

test('A job that may be parked later is returned: one that is not added yet, or that a worker has', async () => {
  const { store, parked, add } = open();
  await add('ended', { delay: 0, removeOnComplete: true });
  await add('fetched', { delay: 0 });
  const worker = new Worker('q', null, { connection: fleet.redis.client(), prefix: store.keys.bull('q'), autorun: false });
  for (let fetches = 0; fetches < 2; fetches += 1) {
    const job = await worker.getNextJob('t', { block: false });
    if (job?.id === 'ended') await job.moveToCompleted(null, 't', false);
  }
  const ids = ['ended', 'fetched', 'missing'];
  assert.deepEqual(await parked.unpark(ids.map((id) => ({ id, queue: 'q', at: 0 }))), ['ended', 'fetched', 'missing']);
  await store.redis.del(`${store.keys.jobs('q')}fetched:lock`);
  assert.deepEqual(await parked.unpark([{ id: 'fetched', queue: 'q', at: 0 }]), [], 'its worker is lost');
  await worker.close();
});

test('A job that is not parked, or no hash, stays as it is', async () => {
  const { store, parked, add, key } = open();
  await add('tomorrow', { delay: 86_400_000 });
  await add('now', { delay: 0 });
  await client.set(key('text'), 'text');
  const before = await client.zscore(key('delayed'), 'tomorrow');
  const ids = ['tomorrow', 'now', 'text'];
  assert.deepEqual(await parked.unpark(ids.map((id) => ({ id, queue: 'q', at: 0 }))), []);
  assert.equal(await client.zscore(key('delayed'), 'tomorrow'), before);
  assert.deepEqual(await fetched(store, 'q'), ['now']);
});

test('A paused queue gets its jobs, and no worker is woken', async () => {
  const { store, parked, add, key } = open();
  await add('one');
  await store.queues.get('q').pause();
  await client.del(key('marker'));
  await parked.unpark([{ id: 'one', queue: 'q', at: 0 }]);
  assert.equal(await client.zscore(key('marker'), '0'), null);
  await store.queues.get('q').resume();
  assert.deepEqual(await fetched(store, 'q'), ['one']);
});

test('A queue with a key of the wrong type keeps its jobs parked, and the other queues go on', async () => {
  const { store, parked, add, key } = open();
  const other = jobsOf(store, 'other');
  await add('stuck');
  await other.add('free');
  await client.set(key('wait'), 'text');
  const admitted = ['stuck', 'free'].map((id) => ({ id, queue: id === 'free' ? 'other' : 'q', at: 0 }));
  await assert.rejects(parked.unpark(admitted), /WRONGTYPE/);
  assert.ok(isParked(Number(await client.zscore(key('delayed'), 'stuck')) / 4_096));
  assert.deepEqual(await fetched(store, 'other'), ['free']);
  await client.del(key('wait'));
  assert.deepEqual([await parked.unpark(admitted.slice(0, 1)), await fetched(store, 'q')], [[], ['stuck']]);
});

test('Jobs go on while Redis has no memory left', async () => {
  const { store, parked, add, key } = open();
  await add('one');
  await add('two', { priority: 1 });
  await fleet.onEach((node) => node.config('SET', 'maxmemory', '1'));
  try {
    await parked.unpark(['one', 'two'].map((id) => ({ id, queue: 'q', at: 0 })));
  } finally {
    await fleet.onEach((node) => node.config('SET', 'maxmemory', '0'));
  }
  assert.deepEqual([await client.zcard(key('delayed')), await fetched(store, 'q')], [0, ['one', 'two']]);
});
