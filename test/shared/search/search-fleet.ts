import assert from 'node:assert/strict';
import { Queue } from 'bullmq';
import * as fc from 'fast-check';
import { z } from 'zod';
import type { Producer, TaskView } from '../../../producer/index.js';
import type { Store } from '../../../shared/store.js';
import { defineTask } from '../../../shared/task/definition.js';
import type { CheckedFilter } from '../../../shared/task/filter/filter.js';
import { isVisibleItem } from '../../../shared/task/filter/item-pattern.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { isTerminal } from '../../../shared/task/state.js';
import { foreignTask } from '../../../shared/task/task-reader.js';
import type { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';

const input = z.object({ fail: z.string().default('') });
const retry = { attempts: 2, backoff: { delayMs: 3_600_000 } };
const handled = [
  defineTask({ name: 'invoice.send', queue: 'invoice', input, retention: KEEP }),
  defineTask({ name: 'invoice.check', queue: 'invoice', shards: 2, input, retention: KEEP, retry }),
  defineTask({ name: 'report', queue: 'report', input, retention: KEEP }),
  defineTask({ name: 'rare', queue: 'rare', input, retention: KEEP }),
] as const;
/** No worker takes these queues. */
const idle = [
  defineTask({ name: 'invoice.send', queue: 'idle', input, retention: KEEP }),
  defineTask({ name: 'limited', queue: 'limited', input, retention: KEEP, concurrency: { limit: 1, by: 'item' } }),
] as const;
const hanging = defineTask({ name: 'hang', queue: 'hang', input: z.object({}), retention: KEEP });

export const NAMES = ['invoice.send', 'invoice.check', 'report', 'rare', 'limited', 'hang', 'nobody'];
export const QUEUES = ['invoice', 'invoice.shard-1', 'report', 'rare', 'idle', 'limited', 'hang', 'nowhere'];
export const ITEMS = ['mine-1', 'mine-2', 'mine-10', 'other', 'käse*', 'm'];
export const TAGS = ['tenant:1', 'tenant:12', 'model:x', 'ü'];
export const ERRORS = ['Disk full', 'disk FULL again', 'timeout'];

/** A task of the fleet, with the time by which it is listed, in ms; null for a task of another program. */
export interface Known {
  readonly view: TaskView;
  readonly at: number | null;
}

/** Makes tasks in all states, plain BullMQ jobs, tasks of other programs, garbage, and index entries without a task. */
export async function populate(fleet: TestFleet, keyPrefix: string, producer: Producer, store: Store): Promise<void> {
  const random = fc.sample(fc.nat({ max: 1_000_000 }), { numRuns: 997, seed: 7 });
  let used = 0;
  const pick = <Value>(list: readonly Value[]): Value => list[(random[(used += 1) % random.length] as number) % list.length] as Value;
  const add = async (definitions: typeof handled | typeof idle, count: number): Promise<string[]> => {
    const adding = Array.from({ length: count }, () => {
      const delay = pick([0, 0, 0, 3_600_000]);
      const tags = [...new Set([pick(TAGS), pick(TAGS)])].slice(0, pick([0, 1, 2]));
      return producer.enqueue(
        pick<(typeof handled)[number]>(definitions),
        { fail: pick(['', '', ...ERRORS]) },
        { item: pick([...ITEMS, undefined]), tags, ...(delay > 0 && { delay }) },
      );
    });
    return (await Promise.all(adding)).map(({ id }) => id);
  };
  const handlers = handled.map((definition) =>
    defineHandler(definition, ({ input: { fail } }) => {
      if (fail !== '') throw new Error(fail);
    }),
  );
  const hang = defineHandler(hanging, ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)));
  const ids = await add(handled, 70);
  await producer.stop(ids.filter((_, index) => index % 9 === 0));
  await fleet.worker(keyPrefix, [...handlers, hang]);
  const running = await producer.enqueueMany(hanging, [{ input: {}, item: 'mine-1', tags: ['tenant:1'] }, { input: {} }]);
  const plain = new Queue('report', { connection: store.redis, prefix: store.keys.bull('report') });
  await plain.addBulk([
    { name: 'report', data: { fail: '' }, opts: { jobId: 'plain-completed' } },
    { name: 'report', data: { fail: 'timeout' }, opts: { jobId: 'plain-failed' } },
  ]);
  const isSettled = ({ state }: TaskView): boolean => isTerminal(state) || state === 'retrying' || state === 'scheduled';
  for (const id of [...ids, 'plain-completed', 'plain-failed'])
    await until(
      () => producer.get(id),
      (view) => view !== null && isSettled(view),
    );
  for (const { id } of running)
    await until(
      () => producer.get(id),
      (view) => view?.state === 'running',
    );
  await add(idle, 40);
  await until(
    () => store.redis.hlen(store.keys.taskQueues),
    (live) => live < 80,
  );
  await spoil(store);
}

/** Adds what other programs, other versions and crashes leave behind. */
async function spoil({ redis, keys }: Store): Promise<void> {
  const idleJobs = keys.jobs('idle');
  const [broken] = await redis.lrange(`${idleJobs}wait`, 0, 0);
  assert.ok(broken);
  await redis.del(idleJobs + broken);
  await redis.set(idleJobs + broken, 'not a hash');
  await redis.hset(keys.tasks, { 'foreign-1': 'mine-1', 'foreign-2': '', 'foreign-3': 'other' });
  await redis.sadd(keys.item('mine-1'), 'foreign-1');
  await redis.sadd(keys.item('other'), 'foreign-3');
  await redis.zadd(keys.findName('rare'), 5, 'stale');
  await redis.zadd(keys.findTag('tenant:1'), Date.now(), 'stale');
  await redis.zadd(keys.findTexts, 0, 'imine-1\0stale', 0, 'ttenant:1\0stale', 0, 'no separator');
  // Another version lists the item of each task in the index of texts.
  for (const id of await redis.smembers(keys.ownItem('other'))) await redis.zadd(keys.findTexts, 0, `iother\0${id}`);
  await redis.zrem(keys.findItems, 'other');
  await redis.zadd(keys.findItems, 0, 'mine-stale', 0, '');
  await redis.sadd(keys.ownItem('mine-2'), 'stale');
  await redis.del(keys.ownItem('m'));
  await redis.set(keys.ownItem('m'), 'not a set');
  await redis.zadd(`${keys.jobs('invoice')}kept:failed:invoice.send`, Date.now(), 'stale');
  await redis.zadd(keys.keptTexts('invoice'), 0, 'imine-1\0stale');
}

/** Reads every task, without the search. */
export async function readAll({ redis, keys, reader, registry }: Store): Promise<Known[]> {
  const known: Known[] = [];
  const live = await redis.zrange(keys.live, '0', '-1', 'WITHSCORES');
  const scores = new Map(live.flatMap((id, index) => (index % 2 === 0 ? [[id, Number(live[index + 1])] as const] : [])));
  for (const [id, view] of await reader.read([...scores.keys()]))
    if (!isTerminal(view.state)) known.push({ view, at: scores.get(id) ?? 0 });
  for (const queue of await registry.queueNames())
    for (const set of ['completed', 'failed']) {
      const flat = await redis.zrange(keys.jobs(queue) + set, '0', '-1', 'WITHSCORES');
      const views = new Map<string, TaskView>();
      await reader.readOn(
        queue,
        flat.filter((_, index) => index % 2 === 0),
        views,
      );
      flat.forEach((id, index) => {
        const view = views.get(id);
        if (index % 2 === 0 && view) known.push({ view, at: Number(flat[index + 1]) });
      });
    }
  for (const { id, item } of await registry.foreign()) known.push({ view: foreignTask(id, item), at: null });
  return known;
}

/** Evaluates a filter in the plainest way. */
export function select(known: readonly Known[], filter: CheckedFilter, now: number): string[] {
  const passing = known.filter((one) => passes(one, filter, now));
  const sign = filter.order === 'newest' ? -1 : 1;
  const inOrder = passing
    .filter(({ at }) => at !== null)
    .sort((a, b) => sign * ((a.at ?? 0) - (b.at ?? 0) || (a.view.id < b.view.id ? -1 : 1)));
  const foreign = passing.filter(({ at }) => at === null).sort((a, b) => (a.view.id < b.view.id ? 1 : -1));
  return [...inOrder, ...foreign].map(({ view }) => view.id);
}

function passes({ view, at }: Known, filter: CheckedFilter, now: number): boolean {
  const { states, name, item, queue, tags, worker, error, search, visibleItems } = filter;
  const equals = (match: CheckedFilter['name'], text: string | null): boolean =>
    match === null || (text !== null && (match.prefix ? text.startsWith(match.text) : text === match.text));
  const texts = [view.id, view.item, view.name, ...view.tags];
  const ended = isTerminal(view.state);
  const between = (time: number | null, after: number | null, before: number | null): boolean =>
    (after === null && before === null) || (time !== null && time > (after ?? -1) && time < (before ?? Infinity));
  return (
    states.has(view.state) &&
    equals(name, view.name) &&
    equals(item, view.item) &&
    (queue === null || view.queue === queue || (queue === 'invoice' && view.queue === 'invoice.shard-1')) &&
    tags.every((tag) => view.tags.includes(tag)) &&
    (worker === null || view.worker === worker) &&
    (error === null || (view.state !== 'unreadable' && (view.error ?? '').toLowerCase().includes(error))) &&
    (search === null || texts.some((text) => text?.startsWith(search))) &&
    isVisibleItem(visibleItems, view.item) &&
    between(ended ? (view.enqueuedAt?.getTime() ?? null) : at, filter.enqueuedAfter, filter.enqueuedBefore) &&
    between(ended ? at : null, filter.finishedAfter, filter.finishedBefore) &&
    (filter.olderThanMs === null || between(at, null, now - filter.olderThanMs))
  );
}
