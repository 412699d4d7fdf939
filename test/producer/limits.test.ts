import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { JobsOptions } from 'bullmq';
import { z } from 'zod';
import { type LimitView, type Producer } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import type { LimitStep } from '../../shared/limiter/marks.js';
import { defineTask } from '../../shared/task/definition.js';
import { limitIn } from '../../shared/task/wait/waiting.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { lineUp, placeStep } from '../support/task/line.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const chat = defineTask({ name: 'chat', input: z.object({}), retention: KEEP });

/** Publishes a limit of 1 for each key of `chat`, of 100 for all its tasks, and a rate. */
const PUBLISHED: readonly LimitStep[] = [
  placeStep('chat', 'k'),
  placeStep('chat', '', 100),
  { kind: 'rate', id: 'rate:task:chat#0:', limit: 'rate:task:chat#0', max: [60, 60_000, 6], keyed: false },
  { kind: 'place', id: 'group:gpu:', limit: 'group:gpu#0', max: 4, keyed: false },
];

async function open(): Promise<Producer> {
  const producer = fleet.producer();
  await producer.ping();
  await producer.store.limiter.publish(PUBLISHED);
  return producer;
}

const short = ({ name, key, limit, source, running, waiting }: LimitView) => [name, key, limit, source, running, waiting];

test('a task in line is queued and says what it waits for, its position and whom it is behind', async () => {
  const producer = await open();
  for (const id of ['a', 'b', 'c', 'd']) await lineUp(producer, chat, { id, item: 'chat:1', steps: [placeStep('chat', 'chat:1')] });
  const waiting = { kind: 'concurrency', name: 'chat', key: 'chat:1', limit: 1, running: 1, length: 3, nextAt: null } as const;
  const third = await producer.get('d');
  assert.deepEqual([third?.state, third?.nextAttemptAt], ['queued', null]);
  assert.deepEqual(third?.waitingFor, { ...waiting, position: 3, behind: ['a'] });
  assert.equal((await producer.get('a'))?.waitingFor, null);
  const { tasks } = await producer.list({ state: 'queued' });
  assert.deepEqual(
    tasks.map(({ id, waitingFor }) => [id, limitIn(waitingFor)?.position ?? null, limitIn(waitingFor)?.behind ?? null]),
    [
      ['d', 3, null],
      ['c', 2, null],
      ['b', 1, null],
      ['a', null, null],
    ],
  );
  assert.deepEqual((await producer.list({ state: 'scheduled' })).tasks, []);
  await producer.store.redis.del(producer.store.keys.limiter('tasks'));
  await producer.store.redis.set(producer.store.keys.limiter('tasks'), 'of another type');
  const unread = (await producer.list({ state: 'queued' })).tasks.map(({ id, waitingFor }) => [id, waitingFor]);
  assert.deepEqual(unread, [
    ['d', null],
    ['c', null],
    ['b', null],
    ['a', null],
  ]);
});

test('a delayed task is scheduled, and one that only its rate delays is queued', async () => {
  const producer = await open();
  const rate: LimitStep = { kind: 'rate', id: 'rate:task:chat#0:', limit: 'rate:task:chat#0', max: [60, 60_000, 1], keyed: false };
  const { store } = producer;
  await store.redis.del(store.keys.limiter('defined'));
  const job = { queue: 'chat', name: 'chat', priority: 0, steps: [rate] };
  assert.deepEqual((await store.limiter.admit({ ...job, id: 'first' })).kind, 'go');
  assert.deepEqual((await store.limiter.admit({ ...job, id: 'soon' })).kind, 'at');
  await lineUp(producer, chat, { id: 'later', steps: [rate] });
  const limits = [{ kind: 'rate', id: rate.id, limit: rate.limit, max: rate.max }];
  for (const id of ['soon', 'put-off']) await store.queues.get('chat').add('chat', {}, { jobId: id, delay: 60_000, limits } as JobsOptions);
  const states = [];
  for (const id of ['soon', 'put-off', 'later']) states.push((await producer.get(id))?.state);
  assert.deepEqual(states, ['queued', 'scheduled', 'queued']);
  const waitingFor = limitIn((await producer.get('later'))?.waitingFor ?? null);
  assert.deepEqual([waitingFor?.kind, waitingFor?.key, waitingFor?.limit, waitingFor?.position], ['rate', null, 60, 1]);
  assert.ok((waitingFor?.nextAt?.getTime() ?? 0) > store.clock.now());
});

test('limits are listed: lines by their wait, then what was set and published', async () => {
  const producer = await open();
  for (const [id, key] of [
    ['a', 'x'],
    ['b', 'x'],
    ['c', 'y'],
    ['d', 'y'],
    ['e', 'y'],
  ] as const)
    await lineUp(producer, chat, { id, steps: [placeStep('chat', key)] });
  await producer.limits.set('chat', 'quiet', 7);
  const { limits, next } = await producer.limits.list();
  assert.equal(next, null);
  assert.deepEqual(limits.map(short), [
    ['chat', 'x', 1, 'definition', 1, 1],
    ['chat', 'y', 1, 'definition', 1, 2],
    ['group:gpu', null, 4, 'definition', 0, 0],
    ['chat', null, 60, 'definition', 0, 0],
    ['chat', '*', 1, 'definition', 0, 0],
    ['chat', null, 100, 'definition', 0, 0],
    ['chat', 'quiet', 7, 'set', 0, 0],
  ]);
  assert.deepEqual([limits[3]?.kind, limits[3]?.perMs, limits[3]?.burst], ['rate', 60_000, 6]);
  assert.ok(limits[0]?.waitingSince && limits[0].waitingSince <= (limits[1]?.waitingSince ?? 0));
  const paged: LimitView[] = [];
  let cursor: string | undefined;
  do {
    const page = await producer.limits.list({ limit: 2, after: cursor });
    assert.ok(page.limits.length <= 2);
    paged.push(...page.limits);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  assert.deepEqual(paged.map(short), limits.map(short), 'pages of two');
  const ofGroup = await producer.limits.list({ name: 'group:gpu' });
  assert.deepEqual(ofGroup.limits.map(short), [['group:gpu', null, 4, 'definition', 0, 0]]);
  assert.deepEqual((await producer.limits.list({ name: 'chat', limit: 1 })).limits.map(short), [['chat', 'x', 1, 'definition', 1, 1]]);
});

test('a limit that is set wins until it is cleared, and a higher one lets waiting tasks start', async () => {
  const producer = await open();
  for (const id of ['a', 'b', 'c', 'd']) await lineUp(producer, chat, { id, steps: [placeStep('chat', 'x')] });
  assert.deepEqual(short(await producer.limits.set('chat', 'x', 2)), ['chat', 'x', 2, 'set', 2, 2]);
  assert.equal((await producer.get('b'))?.waitingFor, null);
  assert.deepEqual(short(await producer.limits.set('chat', '*', 3)), ['chat', '*', 3, 'set', 0, 0]);
  assert.equal(limitIn((await producer.get('c'))?.waitingFor ?? null)?.limit, 2, 'the setting of the key wins');
  assert.equal(await producer.limits.clear('chat', 'x'), true);
  assert.equal((await producer.get('c'))?.waitingFor, null, 'the setting of every key holds now');
  assert.equal(limitIn((await producer.get('d'))?.waitingFor ?? null)?.limit, 3);
  const all = (await producer.limits.list({ name: 'chat' })).limits.map(short);
  assert.deepEqual(all, [
    ['chat', 'x', 3, 'set', 3, 1],
    ['chat', null, 60, 'definition', 0, 0],
    ['chat', '*', 3, 'set', 0, 0],
    ['chat', null, 100, 'definition', 0, 0],
  ]);
  assert.equal(await producer.limits.clear('chat', 'x'), false, 'nothing was set');
  assert.deepEqual(short(await producer.limits.set('chat', 0)), ['chat', null, 0, 'set', 0, 0]);
  assert.deepEqual(short(await producer.limits.set('group:gpu', 1_000_000)), ['group:gpu', null, 1_000_000, 'set', 0, 0]);
});

test('a limit that no definition has is refused, with the names that have one', async () => {
  const producer = await open();
  const message = async (setting: Promise<unknown>): Promise<string> => {
    const error = await setting.then(
      () => assert.fail('expected an error'),
      (thrown: unknown) => thrown,
    );
    assert.ok(isFleetError(error, 'LIMIT_NOT_FOUND', 'INVALID_OPTION'), String(error));
    return `${error.code}: ${error.message}`;
  };
  assert.equal(
    await message(producer.limits.set('chta', 3)),
    'LIMIT_NOT_FOUND: No concurrency limit on all its tasks is published for "chta". Known: chat, group:gpu.',
  );
  assert.match(await message(producer.limits.set('group:gpu', 'k', 3)), /No concurrency limit by key .* leave out the key\.$/);
  for (const limit of [-1, 1.5, 1_000_001, Number.NaN]) assert.match(await message(producer.limits.set('chat', limit)), /0 to 1000000/);
  assert.match(await message(producer.limits.set('chat', 'a\u0000b', 1)), /^INVALID_OPTION: Bad key: expected no control characters/);
  assert.match(await message(producer.limits.set('a b', 1)), /^INVALID_OPTION: Bad name: /);
  assert.match(await message(producer.limits.list({ after: 'x' })), /Bad after/);
  assert.match(await message(producer.limits.list({ limit: 0 })), /1 to 1000/);
  assert.match(await message(fleet.producer().limits.set('chat', 1)), /Workers publish the limits of their definitions when they start\.$/);
});

test('unreadable settings and entries are shown and hide nothing', async () => {
  const producer = await open();
  const { redis, keys } = producer.store;
  await redis.hset(keys.limiter('set'), 'task:chat:x', 'many', 'nonsense', '3');
  await redis.hset(keys.limiter('defined'), 'task:chat#0', '{}', 'rate:task:chat#0', '[1]', 'odd', '7');
  await redis.zadd(keys.limiter('lines'), 1, 'nobody');
  const { limits } = await producer.limits.list();
  assert.deepEqual(
    limits.map(({ name, key, limit, problem }) => [name, key, limit, problem?.replace(/,? got.*/, '') ?? null]),
    [
      ['nobody', null, null, null],
      ['group:gpu', null, 4, null],
      ['nonsense', null, 3, null],
      ['chat', null, null, 'expected a limit, a period in ms and a burst'],
      ['chat', '*', null, 'expected a number'],
      ['chat', null, 100, null],
      ['chat', 'x', null, 'what is set: expected a whole number'],
    ],
  );
});
