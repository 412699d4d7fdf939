import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { JobsOptions } from 'bullmq';
import type { RecordedStop } from '../../../shared/scripts/define-scripts.js';
import { TOKEN, startQueues } from './queue-places.js';

const { client, close, everyPlace, open } = await startQueues();
after(close);

test('recordStop returns the place of each job, and takes the jobs without an owner', async () => {
  const { record } = await everyPlace();
  const stop = '{"at":1}';
  const ids = [
    'nobody',
    'is-completed',
    'is-failed',
    'is-active',
    'retry-delayed',
    'retry-waiting',
    'is-waiting',
    'is-prioritized',
    'is-delayed',
    'parent',
  ];
  assert.deepEqual(await record(ids), [
    ['missing', ''],
    ['completed', ''],
    ['failed', ''],
    ['active', stop],
    ['taken', stop],
    ['taken', stop],
    ['taken', stop],
    ['taken', stop],
    ['taken', stop],
    ['taken', stop],
  ]);
});

test('a job taken by recordStop is active with the lock of the caller, and in no other list', async () => {
  const { record, queue, keys, job } = await everyPlace();
  const ids = ['retry-delayed', 'retry-waiting', 'is-waiting', 'is-prioritized', 'is-delayed', 'parent'];
  await record(ids);
  const active = await client.lrange(`${keys.jobs('q')}active`, 0, -1);
  assert.deepEqual(active.toSorted(), ['is-active', ...ids].toSorted());
  assert.deepEqual(await queue.getJobCounts('waiting', 'delayed', 'prioritized', 'waiting-children'), {
    waiting: 0,
    delayed: 0,
    prioritized: 0,
    'waiting-children': 0,
  });
  for (const id of ids) {
    assert.equal(await client.get(`${keys.jobs('q')}${id}:lock`), 'of-the-stopper');
    assert.ok((await client.pttl(`${keys.jobs('q')}${id}:lock`)) > 0);
    assert.equal((await job(id))['defa'], 'Stopped');
  }
  assert.equal(await client.get(`${keys.jobs('q')}is-active:lock`), TOKEN, 'a running job keeps its lock');
});

test('recordStop does not change an ended job, and does not create a missing one', async () => {
  const { record, job } = await everyPlace();
  const before = [await job('is-completed'), await job('is-failed')];
  await record(['is-completed', 'is-failed', 'nobody']);
  assert.deepEqual([await job('is-completed'), await job('is-failed')], before);
  assert.deepEqual(await job('nobody'), {});
});

test('recordStop returns the stop of a failed job, which means that it was cancelled', async () => {
  const { add, pick, record } = await open();
  await add('a');
  const job = await pick();
  await record(['a'], { stop: '{"at":7}' });
  await job.moveToFailed(new Error('Stopped'), TOKEN, false);
  assert.deepEqual(await record(['a']), [['failed', '{"at":7}']]);
});

test('a later stop does not replace the reason of the first', async () => {
  const { add, pick, record, job } = await open();
  await add('a');
  await pick();
  assert.deepEqual(await record(['a'], { stop: '{"reason":"first","at":1}' }), [['active', '{"reason":"first","at":1}']]);
  assert.deepEqual(await record(['a'], { stop: '{"reason":"second","at":2}' }), [['active', '{"reason":"first","at":1}']]);
  assert.equal((await job('a'))['stop'], '{"reason":"first","at":1}');
});

test('without a new stop, recordStop takes only jobs stopped before', async () => {
  const { add, pick, record, job, queue } = await open();
  await add('stopped', { attempts: 2 });
  await add('not-stopped');
  const running = await pick();
  await record(['stopped']);
  await running.moveToFailed(new Error('an attempt'), TOKEN, false);
  assert.equal((await queue.getJobCounts('waiting'))['waiting'], 2);
  assert.deepEqual(await record(['stopped', 'not-stopped', 'nobody'], { stop: '' }), [
    ['taken', '{"at":1}'],
    ['ignored', ''],
    ['missing', ''],
  ]);
  assert.equal((await job('not-stopped'))['defa'], undefined);
});

test('recordStop takes the given jobs from a long wait list, and the others keep their order', async () => {
  const { keys, add, record } = await open();
  const ids = Array.from({ length: 40 }, (_, index) => `w${index}`);
  for (const id of ids) await add(id);
  const stopped = ids.filter((_, index) => index % 3 === 0);
  assert.deepEqual(new Set((await record([...stopped, 'nobody'])).map(([what]) => what)), new Set(['taken', 'missing']));
  const waiting = await client.lrange(`${keys.jobs('q')}wait`, 0, -1);
  assert.deepEqual(
    waiting.toReversed(),
    ids.filter((id) => !stopped.includes(id)),
  );
  assert.deepEqual((await client.lrange(`${keys.jobs('q')}active`, 0, -1)).toSorted(), stopped.toSorted());
});

test('recordStop finds jobs near both ends of a very long wait list without a search', async () => {
  const { keys, add, record } = await open();
  const [oldest, newest] = [Array.from({ length: 150 }, (_, index) => `o${index}`), Array.from({ length: 15 }, (_, index) => `n${index}`)];
  for (const id of oldest) await add(id);
  const others = Array.from({ length: 50_000 }, (_, index) => `x${index}`);
  for (let times = 0; times < 3; times += 1) await client.lpush(`${keys.jobs('q')}wait`, ...others);
  for (const id of newest) await add(id);
  const found: string[][] = [];
  for (const ids of [oldest.slice(0, 80), oldest.slice(80), newest]) found.push(...(await record(ids)));
  assert.deepEqual([found.length, new Set(found.map(([what]) => what))], [165, new Set(['taken'])]);
  assert.equal(await client.llen(`${keys.jobs('q')}wait`), 150_000);
});

test('in a very long wait list, recordStop searches for 200 jobs, and only records the stop of the rest', async () => {
  const { keys, add, record, job } = await open();
  const others = Array.from({ length: 50_000 }, (_, index) => `o${index}`);
  for (let times = 0; times < 2; times += 1) await client.rpush(`${keys.jobs('q')}wait`, ...others);
  const ids = Array.from({ length: 201 }, (_, index) => `w${index}`);
  for (const id of ids) await add(id);
  // The script looks near both ends without a search.
  await client.lpush(`${keys.jobs('q')}wait`, ...others.slice(0, 20));
  await add('d', { delay: 60_000 });
  await add('p', { priority: 1 });
  const found = (await record([...ids, 'd', 'p'])).map(([what]) => what);
  assert.deepEqual(found, [...ids.slice(1).map(() => 'taken'), 'left', 'taken', 'taken']);
  assert.equal((await job('w200'))['defa'], 'Stopped');
});

test('recordStop takes 84 delayed jobs at once, and leaves the rest for another call', async () => {
  const { add, record } = await open();
  const ids = Array.from({ length: 85 }, (_, index) => `d${index}`);
  await Promise.all(ids.map((id) => add(id, { delay: 60_000 })));
  const found = await record(ids);
  assert.deepEqual([found.length, new Set(found.map(([what]) => what))], [84, new Set(['taken'])]);
  assert.deepEqual(
    (await record(ids.slice(84))).map(([what]) => what),
    ['taken'],
  );
});

for (const others of [0, 20]) {
  test(`an active job without a lock is fenced off, looked up with ${others} others`, async () => {
    const { keys, add, pick, recordAll } = await open();
    await add('a', { attempts: 3 });
    const job = await pick();
    const ids = ['a', ...Array.from({ length: others }, (_, index) => `nobody${index}`)];
    assert.equal((await recordAll(ids))[0]?.[0], 'active');
    await client.del(`${keys.jobs('q')}a:lock`);
    const [what, stop, kids, finishedOn, options] = (await recordAll(ids, { stop: '' }))[0] as RecordedStop;
    assert.deepEqual([what, stop, finishedOn, kids], ['fenced', '{"at":1}', null, null]);
    assert.equal((JSON.parse(options as string) as JobsOptions).attempts, 3);
    assert.equal(await client.get(`${keys.jobs('q')}a:lock`), 'of-the-stopper');
    await assert.rejects(job.moveToCompleted('late', TOKEN, false), /lock/i);
  });
}

test('an active job of a dead worker is fenced off even if its lock is still held', async () => {
  const { keys, add, pick, record } = await open();
  await add('a');
  await pick();
  await client.hset(`${keys.jobs('q')}a`, 'pb', 'host-1');
  assert.deepEqual(await record(['a'], { dead: ['host-2'] }), [['active', '{"at":1}']]);
  assert.deepEqual(await record(['a'], { dead: ['host-2', 'host-1'] }), [['fenced', '{"at":1}']]);
});

test('a job taken by a stopper that died is taken again once its lock has expired', async () => {
  const { keys, add, record } = await open();
  await add('a');
  assert.deepEqual(await record(['a']), [['taken', '{"at":1}']]);
  assert.deepEqual(await record(['a']), [['active', '{"at":1}']]);
  await client.del(`${keys.jobs('q')}a:lock`);
  assert.deepEqual(await record(['a']), [['taken', '{"at":1}']]);
});

test('a task without a stop is not fenced off', async () => {
  const { keys, add, pick, record } = await open();
  await add('a');
  await pick();
  await client.del(`${keys.jobs('q')}a:lock`);
  assert.deepEqual(await record(['a'], { stop: '' }), [['ignored', '']]);
  assert.equal(await client.exists(`${keys.jobs('q')}a:lock`), 0);
});

test('recordStop returns the end of a job, how its stop was settled, and whether it has children', async () => {
  const { keys, job, recordAll } = await everyPlace();
  await client.hset(`${keys.jobs('q')}is-failed`, { stop: '{"at":3}', stop_via: 'kill', kids: '1' });
  const { finishedOn } = await job('is-failed');
  assert.deepEqual(await recordAll(['is-failed']), [['failed', '{"at":3}', '1', finishedOn, 'kill']]);
});

test('recordStop reports the children of a job in a flow', async () => {
  const { recordAll } = await everyPlace();
  const found = await recordAll(['parent', 'is-waiting']);
  assert.deepEqual(
    found.map(([what, , kids]) => [what, kids]),
    [
      ['taken', 'flow'],
      ['taken', null],
    ],
  );
});

test('a stop takes a job that is missing from its list, unless its owner is running it or it has ended', async () => {
  const { keys, record } = await everyPlace();
  const jobs = keys.jobs('q');
  const ids = ['is-waiting', 'is-prioritized', 'is-delayed', 'retry-waiting', 'parent', 'is-active', 'is-completed', 'is-failed'];
  await client.del(...['wait', 'prioritized', 'delayed', 'waiting-children', 'active', 'completed', 'failed'].map((list) => jobs + list));
  assert.deepEqual(
    (await record(ids)).map(([what]) => what),
    ['taken', 'taken', 'taken', 'fenced', 'taken', 'active', 'completed', 'failed'],
  );
  assert.deepEqual((await client.lrange(`${jobs}active`, 0, -1)).toSorted(), ids.slice(0, 6).toSorted());
  assert.equal(await client.hget(`${jobs}is-failed`, 'stop'), null);
});

for (const [list, kind] of [
  ['delayed', 'string'],
  ['wait', 'set'],
  ['waiting-children', 'hash'],
  ['active', 'string'],
  ['failed', 'list'],
] as const) {
  test(`a queue whose ${list} key is a ${kind} still records all stops, and takes jobs where possible`, async () => {
    const { keys, record, job } = await everyPlace();
    const key = keys.jobs('q') + list;
    await client.del(key);
    await (kind === 'string'
      ? client.set(key, 'x')
      : kind === 'set'
        ? client.sadd(key, 'x')
        : kind === 'hash'
          ? client.hset(key, 'x', 'y')
          : client.rpush(key, 'x'));
    const ids = ['is-waiting', 'is-prioritized', 'is-delayed', 'parent'];
    const lost = { delayed: ['is-delayed'], wait: ['is-waiting'], 'waiting-children': ['parent'], active: ids, failed: ids }[list];
    assert.deepEqual(
      (await record(ids)).map(([what]) => what),
      ids.map((id) => (lost.includes(id) ? 'left' : 'taken')),
    );
    for (const id of ids) assert.equal((await job(id))['stop'], '{"at":1}');
  });
}

test('a job whose key is not a hash is unreadable, and does not prevent the stops of other jobs', async () => {
  const { keys, add, record } = await open();
  await add('a');
  await client.rpush(`${keys.jobs('q')}b`, 'x');
  assert.deepEqual(await record(['b', 'a']), [
    ['unreadable', 'expected a hash, found a list'],
    ['taken', '{"at":1}'],
  ]);
});

test('a queued job of a paused queue is taken too', async () => {
  const { add, record, queue } = await open();
  await add('before');
  await queue.pause();
  await add('after');
  assert.deepEqual(
    (await record(['before', 'after'])).map(([what]) => what),
    ['taken', 'taken'],
  );
});
