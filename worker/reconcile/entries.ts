import { isShared } from '../../shared/keys.js';
import { type StopRecord, parseStop } from '../../shared/stop/record.js';
import type { Store } from '../../shared/store.js';
import { membershipsOf } from '../../shared/task/job-options.js';
import type { JobPlace } from '../../shared/task/state.js';
import { type TaskJobOptions, readOptions } from '../../shared/task/options-record.js';

/** What the registry says of a task of ours. */
interface Entry {
  readonly id: string;
  readonly queue: string;
  /** As open-webui is told it; null where it is missing. */
  readonly item: string | null;
  /** As Redis has it, to tell whether the task was registered anew; null where it is missing. */
  readonly score: string | null;
}

interface FoundJob {
  readonly place: JobPlace | 'unreadable';
  readonly options: TaskJobOptions;
  /** When it was enqueued, in ms. */
  readonly timestamp: number;
  readonly stopped: boolean;
}

/** The same with the job, if there is one. */
type Compared = Entry & (FoundJob | { readonly place: null; readonly options: TaskJobOptions; readonly timestamp: 0; readonly stopped: false });

export interface EntryCounts {
  young: number;
  removed: number;
  registered: number;
  inherited: number;
}

/**
 * How old an entry must be before it counts as left behind by a task that has ended: whoever retries a task registers it
 * first.
 */
const OVER_GRACE_MS = 5_000;

/** Compares entries of the registry with their jobs. */
export class EntryCheck {
  readonly #store: Store;
  readonly #graceMs: number;

  /** `graceMs`: how long an entry may be without a job. */
  constructor(store: Store, graceMs: number) {
    this.#store = store;
    this.#graceMs = graceMs;
  }

  /** `listed`: id → queue. */
  async check(listed: ReadonlyMap<string, string>): Promise<EntryCounts> {
    const entries = await this.#compare(listed);
    const now = this.#store.clock.now();
    const gone = entries.filter(({ place }) => place === null);
    const over = entries.filter(({ place }) => place !== null && isOver(place));
    // What cannot be read stays listed, as it is.
    const live = entries.filter(({ place }) => place !== null && place !== 'unreadable' && !isOver(place));
    const old = gone.filter(({ score }) => score !== null && now - Number(score) >= this.#graceMs);
    const left = over.filter(({ score }) => score !== null && now - Number(score) >= OVER_GRACE_MS);
    // An entry of unknown age begins to age now: its registration may be under way.
    await this.#age([...gone, ...over].filter(({ score }) => score === null), now);
    const removed = await this.#drop([...old, ...left]);
    const registered = await this.#complete(live);
    const inherited = await this.#inheritStops(live);
    return { young: gone.length - old.length, removed, registered, inherited };
  }

  /** Registers live tasks that are not in the registry. Returns how many. */
  async register(missing: ReadonlyMap<string, string>): Promise<number> {
    const found = await this.#readJobs(missing);
    const live = [...found].flatMap(([id, job]) => {
      const ours = job.options.item !== undefined || job.place === 'active';
      return ours && !isOver(job.place) ? [{ id, queue: missing.get(id) as string, item: null, score: null, ...job }] : [];
    });
    return this.#add(live);
  }

  async #compare(listed: ReadonlyMap<string, string>): Promise<Compared[]> {
    const { redis, keys } = this.#store;
    const ids = [...listed.keys()];
    const [jobs, items, scores] = await Promise.all([this.#readJobs(listed), redis.hmget(keys.tasks, ...ids), redis.zmscore(keys.live, ...ids)]);
    return ids.map((id, index) => {
      const entry = { id, queue: listed.get(id) as string, item: items[index] ?? null, score: scores[index] ?? null };
      return { ...entry, ...(jobs.get(id) ?? NO_JOB) };
    });
  }

  async #readJobs(listed: ReadonlyMap<string, string>): Promise<Map<string, FoundJob>> {
    const { redis, queues, keys, unreadable } = this.#store;
    const jobs = new Map<string, FoundJob>();
    const calls = [...groupByQueue(listed)].map(async ([queue, ids]) => {
      const rows = await redis.readTasks(...queues.readKeys(queue), keys.jobs(queue), 'opts timestamp stop', ...ids);
      rows.forEach((row, index) => {
        if (!row) return;
        const [place, options = null, timestamp, stop, problem] = row;
        if (problem) unreadable.report({ key: keys.jobs(queue) + (ids[index] as string), problem });
        jobs.set(ids[index] as string, { place: place as FoundJob['place'], options: readOptions(options), timestamp: Number(timestamp), stopped: Boolean(stop) });
      });
    });
    await Promise.all(calls);
    return jobs;
  }

  async #age(entries: readonly Compared[], now: number): Promise<void> {
    if (entries.length === 0) return;
    const { redis, keys } = this.#store;
    const ids = entries.map(({ id }) => id);
    await redis.zadd(keys.live, 'NX', ...ids.flatMap((id) => [now, id]));
    // Some may have come and ended since they were looked at: nobody would remove what is listed here alone.
    const listed = await redis.hmget(keys.taskQueues, ...ids);
    const over = ids.filter((_, index) => listed[index] === null);
    if (over.length > 0) await redis.zrem(keys.live, ...over);
  }

  async #drop(entries: readonly Compared[]): Promise<number> {
    if (entries.length === 0) return 0;
    const { redis, keys } = this.#store;
    const words = entries.flatMap(({ id, item, options, score }) => [id, options.item || item || '', score ?? '', isShared(id) ? keys.lease(id) : '']);
    const dropped = new Set(await redis.dropEntries(keys.tasks, keys.taskQueues, keys.live, keys.item(''), keys.ownItem(''), ...words));
    const children = entries.filter(({ id, options }) => options.childOf && dropped.has(id));
    await Promise.all(children.map(({ id, options }) => redis.srem(keys.children(options.childOf?.id ?? ''), id)));
    return dropped.size;
  }

  /** Puts right what is listed in part, or under another item than its own. */
  async #complete(live: readonly Compared[]): Promise<number> {
    const { redis, keys } = this.#store;
    const [unlisted, unleased] = await Promise.all([this.#notInTheirItem(live), this.#withoutLease(live)]);
    const wrong = live.filter(({ id, item, score, options }) => (isShared(id) && item !== (options.item ?? '')) || score === null || unlisted.has(id) || unleased.has(id));
    const elsewhere = wrong.filter(({ item, options }) => item && item !== options.item);
    await Promise.all(elsewhere.flatMap(({ id, item }) => [redis.srem(keys.item(item ?? ''), id), redis.srem(keys.ownItem(item ?? ''), id)]));
    return this.#add(wrong);
  }

  async #notInTheirItem(live: readonly Compared[]): Promise<Set<string>> {
    const { redis, keys } = this.#store;
    const byItem = new Map<string, string[]>();
    for (const { id, options: { item } } of live) if (item) push(byItem, item, id);
    const missing = await Promise.all(
      [...byItem].map(async ([item, ids]) => {
        const [ours, shared] = await Promise.all([redis.smismember(keys.ownItem(item), ...ids), redis.smismember(keys.item(item), ...ids)]);
        return ids.filter((id, index) => ours[index] === 0 || (isShared(id) && shared[index] === 0));
      }),
    );
    return new Set(missing.flat());
  }

  /** From the moment on when open-webui was seen, tasks that were registered before it get theirs here. */
  async #withoutLease(live: readonly Compared[]): Promise<Set<string>> {
    const { redis, keys, facts } = this.#store;
    const ids = facts.written ? live.map(({ id }) => id).filter(isShared) : [];
    if (ids.length === 0) return new Set();
    const leases = await redis.mget(...ids.map((id) => keys.lease(id)));
    return new Set(ids.filter((_, index) => leases[index] === null));
  }

  async #add(live: readonly Compared[]): Promise<number> {
    if (live.length === 0) return 0;
    const { redis, registry } = this.#store;
    const writes = registry.writes();
    for (const { id, queue, options, score, timestamp } of live) writes.add({ id, queue, ...membershipsOf(options), at: Number(score ?? timestamp) });
    await Promise.all(writes.flushInto(redis));
    // Some may have ended since they were looked at, and their workers have removed them from the registry before.
    const again = await this.#compare(new Map(live.map(({ id, queue }) => [id, queue])));
    return live.length - (await this.#drop(again.filter(({ place }) => place === null || isOver(place))));
  }

  /** A child whose parent was stopped is stopped by whoever enqueues it, if that lives to. */
  async #inheritStops(live: readonly Compared[]): Promise<number> {
    const { redis, keys, stopper } = this.#store;
    const children = live.flatMap(({ id, stopped, options: { childOf } }) => (childOf && !stopped ? [{ id, parentKey: keys.jobs(childOf.queue) + childOf.id }] : []));
    const stops = await Promise.all(children.map(({ parentKey }) => redis.hget(parentKey, 'stop')));
    const orphans = children.flatMap(({ id }, index): { id: string; stop: StopRecord }[] => {
      const stop = parseStop(stops[index], null);
      return stop ? [{ id, stop }] : [];
    });
    await Promise.all(orphans.map(({ id, stop }) => stopper.request([id], { reason: stop.reason, by: stop.by })));
    return orphans.length;
  }
}

const NO_JOB = { place: null, options: {}, timestamp: 0, stopped: false } as const;

function isOver(place: FoundJob['place']): boolean {
  return place === 'completed' || place === 'failed';
}

function groupByQueue(listed: ReadonlyMap<string, string>): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [id, queue] of listed) push(groups, queue, id);
  return groups;
}

function push(groups: Map<string, string[]>, name: string, id: string): void {
  const ids = groups.get(name);
  if (ids) ids.push(id);
  else groups.set(name, [id]);
}
