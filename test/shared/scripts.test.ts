import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FlowProducer, type Job, type JobsOptions, Queue, Worker } from 'bullmq';
import type { RecordedStop } from '../../shared/scripts/define-scripts.js';
import { TestFleet } from '../support/test-fleet.js';

const SCRIPTS = join(import.meta.dirname, '../../shared/scripts');
const STOP_KEYS = ['completed', 'failed', 'delayed', 'prioritized', 'wait', 'active', 'waiting-children'];
const READ_KEYS = ['completed', 'failed', 'delayed', 'prioritized', 'active', 'waiting-children'];
const TOKEN = 'of-the-worker';

const fleet = await TestFleet.start();
const { client } = fleet;
const closing: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closing) await close();
  await fleet.stop();
});

/** A queue of its own, with a job in every place that a job can be in. */
async function open() {
  const store = fleet.store();
  const { redis, keys } = store;
  const bull = { connection: fleet.redis.client(), prefix: keys.bull };
  const queue = new Queue('q', bull);
  const worker = new Worker('q', null, { ...bull, autorun: false });
  closing.push(() => worker.close(), () => queue.close());
  const add = (id: string, options: JobsOptions = {}): Promise<Job> => queue.add('n', {}, { jobId: id, ...options });
  const pick = async (): Promise<Job> => {
    const job = await worker.getNextJob(TOKEN, { block: false });
    assert.ok(job);
    return job;
  };
  const job = (id: string): Promise<Record<string, string>> => client.hgetall(keys.jobs('q') + id);
  const record = (ids: string[], { stop = '{"at":1}', searches = 100 } = {}): Promise<RecordedStop[]> =>
    redis.recordStop(...store.queues.scriptKeys('q', ...STOP_KEYS), keys.jobs('q'), stop, 'Stopped', 'of-the-stopper', 30_000, searches, ...ids);
  const read = (ids: string[], fields = 'name'): Promise<((string | null)[] | null)[]> =>
    redis.readTasks(...store.queues.scriptKeys('q', ...READ_KEYS), keys.jobs('q'), fields, ...ids);
  return { keys, bull, queue, add, pick, job, record, read };
}

async function everyPlace() {
  const opened = await open();
  const { add, pick, bull } = opened;
  const run = async (id: string, end: (job: Job) => Promise<unknown>, options: JobsOptions = {}): Promise<void> => {
    await add(id, options);
    await end(await pick());
  };
  await run('is-completed', (job) => job.moveToCompleted('ok', TOKEN, false));
  await run('is-failed', (job) => job.moveToFailed(new Error('no'), TOKEN, false));
  await run('is-active', () => Promise.resolve());
  await run('retry-delayed', (job) => job.moveToFailed(new Error('no'), TOKEN, false), { attempts: 3, backoff: { type: 'fixed', delay: 60_000 } });
  await run('retry-waiting', (job) => job.moveToFailed(new Error('no'), TOKEN, false), { attempts: 3 });
  await add('is-waiting');
  await add('is-prioritized', { priority: 5 });
  await add('is-delayed', { delay: 60_000 });
  const flow = new FlowProducer(bull);
  await flow.add({ name: 'n', queueName: 'q', opts: { jobId: 'parent' }, children: [{ name: 'n', queueName: 'other' }] });
  await flow.close();
  return opened;
}

test('every script has a header, and as many keys as its name says', () => {
  const files = readdirSync(SCRIPTS).filter((file) => file.endsWith('.lua'));
  assert.ok(files.length >= 2);
  for (const file of files) {
    const text = readFileSync(join(SCRIPTS, file), 'utf8');
    const header = /^--\[\[\n([\s\S]*?)\n\]\]\n/.exec(text)?.[1] ?? '';
    assert.match(header, /\bARGV\b/, `${file} describes its arguments`);
    assert.match(header, /Returns /, `${file} says what it returns`);
    const named = Number(/-(\d+)\.lua$/.exec(file)?.[1]);
    const described = [...header.matchAll(/KEYS\[(\d+)\]/g)].map(([, number]) => Number(number));
    assert.deepEqual(described.toSorted((a, b) => a - b), Array.from({ length: named }, (_, index) => index + 1), file);
    const used = [...text.slice(header.length).matchAll(/KEYS\[(\d+)\]/g)].map(([, number]) => Number(number));
    assert.deepEqual([...new Set(used)].toSorted((a, b) => a - b), described.toSorted((a, b) => a - b), `${file} uses all of them`);
  }
});

test('recordStop says where each job was, and takes those that nobody runs', async () => {
  const { record } = await everyPlace();
  const stop = '{"at":1}';
  const ids = ['nobody', 'is-completed', 'is-failed', 'is-active', 'retry-delayed', 'retry-waiting', 'is-waiting', 'is-prioritized', 'is-delayed', 'parent'];
  assert.deepEqual(await record(ids), [
    ['missing', ''], ['completed', ''], ['failed', ''], ['active', stop], ['taken', stop],
    ['taken', stop], ['taken', stop], ['taken', stop], ['taken', stop], ['left', stop],
  ]);
});

test('a job that recordStop took is active under the lock of the caller, and nowhere else', async () => {
  const { record, queue, keys, job } = await everyPlace();
  const ids = ['retry-delayed', 'retry-waiting', 'is-waiting', 'is-prioritized', 'is-delayed'];
  await record(ids);
  const active = await client.lrange(`${keys.jobs('q')}active`, 0, -1);
  assert.deepEqual(active.toSorted(), ['is-active', ...ids].toSorted());
  assert.deepEqual(await queue.getJobCounts('waiting', 'delayed', 'prioritized'), { waiting: 0, delayed: 0, prioritized: 0 });
  for (const id of ids) {
    assert.equal(await client.get(`${keys.jobs('q')}${id}:lock`), 'of-the-stopper');
    assert.ok((await client.pttl(`${keys.jobs('q')}${id}:lock`)) > 0);
    assert.equal((await job(id))['defa'], 'Stopped');
  }
  assert.equal(await client.get(`${keys.jobs('q')}is-active:lock`), TOKEN, 'the lock of a job that runs stays its own');
});

test('recordStop changes nothing about a job that has ended, and makes none that is not there', async () => {
  const { record, job } = await everyPlace();
  const before = [await job('is-completed'), await job('is-failed')];
  await record(['is-completed', 'is-failed', 'nobody']);
  assert.deepEqual([await job('is-completed'), await job('is-failed')], before);
  assert.deepEqual(await job('nobody'), {});
});

test('a failed job with a stop is one that was cancelled, and recordStop says so', async () => {
  const { add, pick, record } = await open();
  await add('a');
  const job = await pick();
  await record(['a'], { stop: '{"at":7}' });
  await job.moveToFailed(new Error('Stopped'), TOKEN, false);
  assert.deepEqual(await record(['a']), [['failed', '{"at":7}']]);
});

test('the first stop stays: a later one does not replace its reason', async () => {
  const { add, pick, record, job } = await open();
  await add('a');
  await pick();
  assert.deepEqual(await record(['a'], { stop: '{"reason":"first","at":1}' }), [['active', '{"reason":"first","at":1}']]);
  assert.deepEqual(await record(['a'], { stop: '{"reason":"second","at":2}' }), [['active', '{"reason":"first","at":1}']]);
  assert.equal((await job('a'))['stop'], '{"reason":"first","at":1}');
});

test('without a stop of its own, recordStop takes only what was stopped before', async () => {
  const { add, record, job } = await open();
  await add('stopped');
  await add('not-stopped');
  await record(['stopped'], { searches: 0 });
  assert.deepEqual(await record(['stopped', 'not-stopped', 'nobody'], { stop: '' }), [['taken', '{"at":1}'], ['ignored', ''], ['missing', '']]);
  assert.equal((await job('not-stopped'))['defa'], undefined);
});

test('recordStop searches the wait list as often as it may, and leaves the rest with its stop recorded', async () => {
  const { add, record, job, queue } = await open();
  for (const id of ['w1', 'w2', 'w3']) await add(id);
  await add('d', { delay: 60_000 });
  await add('p', { priority: 1 });
  const found = await record(['w1', 'w2', 'w3', 'd', 'p'], { searches: 1 });
  assert.deepEqual(found.map(([what]) => what), ['taken', 'left', 'left', 'taken', 'taken']);
  assert.equal((await job('w2'))['defa'], 'Stopped');
  assert.deepEqual(await queue.getJobCounts('waiting', 'delayed', 'prioritized'), { waiting: 2, delayed: 0, prioritized: 0 });
});

test('a job that waits in a paused queue is taken as well', async () => {
  const { add, record, queue } = await open();
  await add('before');
  await queue.pause();
  await add('after');
  assert.deepEqual((await record(['before', 'after'])).map(([what]) => what), ['taken', 'taken']);
});

test("a scheduler's own record is no job", async () => {
  const { queue, record, read, keys } = await open();
  await queue.upsertJobScheduler('nightly', { every: 3_600_000 }, { name: 'n' });
  const before = await client.hgetall(`${keys.jobs('q')}repeat:nightly`);
  assert.ok(before['name'], 'it looks like one');
  assert.deepEqual(await record(['repeat:nightly']), [['missing', '']]);
  assert.deepEqual(await client.hgetall(`${keys.jobs('q')}repeat:nightly`), before);
  assert.deepEqual(await read(['repeat:nightly']), [null]);
});

test('what a late write left of a removed job is no job', async () => {
  const { keys, record, read } = await open();
  await client.hset(`${keys.jobs('q')}ghost`, 'progress', '5');
  assert.deepEqual(await record(['ghost']), [['missing', '']]);
  assert.deepEqual(await read(['ghost']), [null]);
});

test('readTasks says where each job is', async () => {
  const { read } = await everyPlace();
  const places = {
    ...{ 'is-completed': 'completed', 'is-failed': 'failed', 'is-active': 'active', 'retry-delayed': 'delayed', 'retry-waiting': 'waiting' },
    ...{ 'is-waiting': 'waiting', 'is-prioritized': 'waiting', 'is-delayed': 'delayed', parent: 'waiting' },
  };
  const rows = await read([...Object.keys(places), 'nobody']);
  assert.deepEqual(rows, [...Object.values(places).map((place) => [place, 'n']), null]);
});

test('readTasks returns the fields that were asked for, in their order, null for what is not there', async () => {
  const { add, pick, read } = await open();
  await add('a');
  await pick();
  const [row] = await read(['a'], 'stop  name nosuch atm');
  assert.deepEqual(row, ['active', null, 'n', null, null]);
});
