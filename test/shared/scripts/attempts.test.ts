import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Worker } from 'bullmq';
import { type AttemptOutcome, type AttemptRecord, attemptField } from '../../../shared/attempt/attempt.js';
import { endOf, ownWorker } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

/** Opens a job that began its first run, with a function that notes an attempt of it. */
async function openJob(hash: Record<string, string | number> = {}) {
  const { redis, keys } = fleet.store();
  const job = `${keys.jobs('q')}one`;
  await client.hset(job, { timestamp: 1, ats: 1, ...hash });
  const note = (run: number, outcome: AttemptOutcome, token = ''): Promise<0 | 1> => {
    const record: AttemptRecord = { number: 1, run, worker: 'w', started: 1, ended: 2, outcome };
    const [[field, value] = ['', '']] = Object.entries(attemptField(record));
    return redis.noteAttempt(job, `${job}:lock`, field, value, run, token);
  };
  const noted = async (): Promise<(string | undefined)[]> =>
    Object.entries(await client.hgetall(job)).flatMap(([name, value]) =>
      name.startsWith('try') ? [(JSON.parse(value) as AttemptRecord).outcome] : [],
    );
  return { job, note, noted };
}

describe('noteAttempt', () => {
  it('notes a requeued attempt only under the lock of its worker', async () => {
    const { job, note, noted } = await openJob();
    assert.equal(await note(1, 'requeued', 'mine'), 0);
    await client.set(`${job}:lock`, 'of another');
    assert.equal(await note(1, 'requeued', 'mine'), 0);
    await client.set(`${job}:lock`, 'mine');
    assert.deepEqual([await note(1, 'requeued', 'mine'), await noted()], [1, ['requeued']]);
  });

  it('notes a lost lock in place of a lost worker, but never over the end of the run or a later one', async () => {
    const { job, note, noted } = await openJob();
    await client.hset(job, attemptField({ number: 1, run: 1, worker: 'w', started: 1, ended: 2, outcome: 'worker_lost' }));
    assert.deepEqual([await note(1, 'lock_lost'), await noted()], [1, ['lock_lost']]);
    assert.equal(await note(1, 'lock_lost'), 0, 'noted before');
    await client.hset(job, attemptField({ number: 1, run: 1, worker: 'w', started: 1, ended: 2, outcome: 'failed' }));
    assert.deepEqual([await note(1, 'lock_lost'), await noted()], [0, ['failed']]);
    await client.hset(job, attemptField({ number: 21, run: 21, worker: 'w', started: 1, ended: 2, outcome: 'worker_lost' }));
    assert.deepEqual([await note(1, 'lock_lost'), await noted()], [0, ['worker_lost']]);
    await client.hset(job, 'try1', 'garbage');
    assert.equal(await note(1, 'lock_lost'), 1);
  });

  it('notes nothing for a run that completed, or a job that is gone', async () => {
    const done = await openJob({ finishedOn: 5, tries: 2 });
    assert.deepEqual([await done.note(3, 'lock_lost'), await done.note(2, 'lock_lost')], [0, 1]);
    const gone = await openJob();
    await client.del(gone.job);
    assert.deepEqual([await gone.note(1, 'lock_lost'), await client.exists(gone.job)], [0, 0]);
  });
});

describe('A stop of a task whose worker is dead', () => {
  it('records the attempt of that worker', async () => {
    const task = new ScriptedTask('dead.end');
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const { id } = await producer.enqueue(task.definition, {});
    const bull = { connection: fleet.redis.client(), prefix: `${prefix}:bull`, name: 'web-1-4711-0a1b2c3d', autorun: false };
    const dead = new Worker('dead', null, bull);
    assert.equal((await dead.getNextJob('of the dead', { block: false }))?.id, id);
    const job = `${prefix}:bull:dead:${id}`;
    await client.del(`${job}:lock`);
    // The clock of its worker was ahead.
    await client.hset(job, 'processedOn', Date.now() + 60_000);
    await producer.stop(id, { waitMs: 60_000 });
    await dead.close();
    const view = await producer.get(id);
    const [attempt] = view?.attempts ?? [];
    assert.deepEqual([view?.state, view?.stop?.via, view?.attempt, view?.attempts?.length], ['cancelled', 'fence', 1, 1]);
    assert.deepEqual([attempt?.outcome, attempt?.worker?.host, attempt?.worker?.pid, attempt?.number], ['worker_lost', 'web-1', 4711, 1]);
    assert.deepEqual(attempt?.endedAt, attempt?.startedAt, 'no attempt ends before it started');
  });

  it('is one attempt of a task that a plain BullMQ worker failed, with what BullMQ keeps', async () => {
    const task = new ScriptedTask('plain.end');
    const { prefix, producer, worker } = await ownWorker(fleet, []);
    await worker.stop();
    const { id } = await producer.enqueue(task.definition, {});
    const bull = { connection: fleet.redis.client(), prefix: `${prefix}:bull` };
    const plain = new Worker('plain', () => Promise.reject(new Error('no luck')), bull);
    const view = await endOf(producer, id);
    await plain.close();
    assert.deepEqual(
      view.attempts?.map(({ number, outcome, error, worker: by }) => [number, outcome, error?.message, by]),
      [[1, 'failed', 'no luck', null]],
    );
  });
});
