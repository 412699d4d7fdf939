import { isShared } from '../../shared/keys.js';
import { type StopRecord, parseStop } from '../../shared/stop/record.js';
import type { Store } from '../../shared/store.js';
import { membershipsOf } from '../../shared/task/job-options.js';
import { type Compared, EntryReader, type FoundJob } from './entry-reader.js';
import type { LostJobs } from './lost-jobs.js';

/** An entry whose job is there. */
type Live = Compared & { readonly job: FoundJob };

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
/** What is registered so far in the future was registered by a clock that was ahead. */
const AHEAD_MS = 60_000;

/** Compares entries of the registry with their jobs. */
export class EntryCheck {
  readonly #store: Store;
  readonly #graceMs: number;
  readonly #reader: EntryReader;

  /** `graceMs`: how long an entry may be without a job. */
  constructor(store: Store, graceMs: number) {
    this.#store = store;
    this.#graceMs = graceMs;
    this.#reader = new EntryReader(store);
  }

  /** `listed`: id → queue. `lost` is told of what may have lost its place. */
  async check(listed: ReadonlyMap<string, string>, lost: LostJobs): Promise<EntryCounts> {
    const { entries, areDated } = await this.#reader.read(listed);
    const now = this.#store.clock.now();
    const gone = entries.filter(({ job }) => job === null);
    const over = entries.filter((entry): entry is Live => entry.job !== null && isOver(entry.job));
    // What cannot be read stays listed, as it is.
    const live = entries.filter((entry): entry is Live => entry.job !== null && isLive(entry.job));
    for (const { id, queue, job } of [...over, ...live.filter(({ job: { place } }) => place === 'waiting')]) {
      lost.suspect(queue, { id, timestamp: job.timestamp ?? 0, stopped: job.stopped, ended: isOver(job) });
    }
    if (!areDated) return { young: 0, removed: 0, registered: 0, inherited: await this.#inheritStops(live) };
    const old = gone.filter(({ registeredAt }) => registeredAt !== null && now - registeredAt >= this.#graceMs);
    const left = over.filter(({ registeredAt }) => registeredAt !== null && now - registeredAt >= OVER_GRACE_MS);
    // An entry of unknown age, or from a clock that was ahead, begins to age now: its registration may be under way.
    await this.#age(
      [...gone, ...over].filter(({ registeredAt }) => registeredAt === null || registeredAt > now + AHEAD_MS),
      now,
    );
    const removed = await this.#drop([...old, ...left]);
    const registered = await this.#complete(live);
    const inherited = await this.#inheritStops(live);
    return { young: gone.length - old.length, removed, registered, inherited };
  }

  /** Registers live tasks that are not in the registry, whoever added them. Returns how many. */
  async register(missing: ReadonlyMap<string, string>): Promise<number> {
    const found = await this.#reader.jobs(missing);
    const live = [...found].flatMap(([id, job]): Live[] =>
      isLive(job) ? [{ id, queue: missing.get(id) as string, item: null, score: null, registeredAt: null, job }] : [],
    );
    return this.#add(live);
  }

  async #age(entries: readonly Compared[], now: number): Promise<void> {
    if (entries.length === 0) return;
    const { redis, keys } = this.#store;
    const ids = entries.map(({ id }) => id);
    const missing = entries.filter(({ score }) => score === null);
    const wrong = entries.filter(({ score }) => score !== null);
    if (missing.length > 0) await redis.zadd(keys.live, 'NX', ...missing.flatMap(({ id }) => [now, id]));
    if (wrong.length > 0) await redis.zadd(keys.live, 'XX', ...wrong.flatMap(({ id }) => [now, id]));
    // Some may have come and ended since they were looked at: nobody would remove what is listed here alone.
    const listed = await redis.hmget(keys.taskQueues, ...ids);
    const over = ids.filter((_, index) => listed[index] === null);
    if (over.length > 0) await redis.zrem(keys.live, ...over);
  }

  async #drop(entries: readonly Compared[]): Promise<number> {
    if (entries.length === 0) return 0;
    const { redis, keys, unreadable } = this.#store;
    const words = entries.flatMap(({ id, item, job, score }) => [
      id,
      job?.options.item || item || '',
      score ?? '',
      isShared(id) ? keys.lease(id) : '',
    ]);
    const dropped = new Set(await redis.dropEntries(keys.tasks, keys.taskQueues, keys.live, keys.item(''), keys.ownItem(''), ...words));
    const children = entries.flatMap(({ id, job }) =>
      job?.options.childOf && dropped.has(id) ? [{ id, key: keys.children(job.options.childOf.id) }] : [],
    );
    await Promise.all(children.map(({ id, key }) => unreadable.read(key, 'set', redis.srem(key, id), 0)));
    return dropped.size;
  }

  /** Puts right what is listed in part, or under another item than its own. */
  async #complete(live: readonly Live[]): Promise<number> {
    const { redis, keys } = this.#store;
    const [unlisted, unleased] = await Promise.all([this.#notInTheirItem(live), this.#withoutLease(live)]);
    const isWrong = ({ id, item, registeredAt, job: { options } }: Live): boolean =>
      (isShared(id) && item !== (options.item ?? '')) || registeredAt === null || unlisted.has(id) || unleased.has(id);
    const wrong = live.filter(isWrong);
    const elsewhere = wrong.filter(({ item, job: { options } }) => item && item !== options.item);
    await Promise.all(
      elsewhere.flatMap(({ id, item }) => [redis.srem(keys.item(item ?? ''), id), redis.srem(keys.ownItem(item ?? ''), id)]),
    );
    return this.#add(wrong);
  }

  /** Those that a set of their item lacks. A set of a wrong type lacks nothing: nothing could be put into it. */
  async #notInTheirItem(live: readonly Live[]): Promise<Set<string>> {
    const { redis, keys, unreadable } = this.#store;
    const byItem = new Map<string, string[]>();
    for (const {
      id,
      job: {
        options: { item },
      },
    } of live)
      if (item) push(byItem, item, id);
    const missing = await Promise.all(
      [...byItem].map(async ([item, ids]) => {
        const read = (key: string): Promise<number[]> => unreadable.read(key, 'set', redis.smismember(key, ...ids), []);
        const [ours, shared] = await Promise.all([read(keys.ownItem(item)), read(keys.item(item))]);
        return ids.filter((id, index) => ours[index] === 0 || (isShared(id) && shared[index] === 0));
      }),
    );
    return new Set(missing.flat());
  }

  /** From the moment on when open-webui was seen, tasks that were registered before it get theirs here. */
  async #withoutLease(live: readonly Live[]): Promise<Set<string>> {
    const { redis, keys, facts } = this.#store;
    const ids = facts.written ? live.map(({ id }) => id).filter(isShared) : [];
    if (ids.length === 0) return new Set();
    const leases = await redis.mget(...ids.map((id) => keys.lease(id)));
    return new Set(ids.filter((_, index) => leases[index] === null));
  }

  async #add(live: readonly Live[]): Promise<number> {
    if (live.length === 0) return 0;
    const { redis, registry } = this.#store;
    const writes = registry.writes();
    for (const { id, queue, registeredAt, job } of live)
      writes.add({ id, queue, ...membershipsOf(job.options), at: registeredAt ?? job.timestamp ?? this.#store.clock.now() });
    await Promise.all(writes.flushInto(redis));
    // Some may have ended since they were looked at, and their workers have removed them from the registry before.
    const again = await this.#reader.read(new Map(live.map(({ id, queue }) => [id, queue])));
    return live.length - (await this.#drop(again.entries.filter(({ job }) => job === null || isOver(job))));
  }

  /** A child whose parent was stopped is stopped by whoever enqueues it, or stops its flow, if that lives to. */
  async #inheritStops(live: readonly Live[]): Promise<number> {
    const { redis, keys, stopper, unreadable } = this.#store;
    const children = live.flatMap(({ id, job: { stopped, flowParent, options } }) => {
      const parent = options.childOf ?? flowParent;
      return parent && !stopped ? [{ id, parentKey: keys.jobs(parent.queue) + parent.id, since: options.retriedAt ?? 0 }] : [];
    });
    const stops = await Promise.all(
      children.map(({ parentKey }) => unreadable.read(parentKey, 'hash', redis.hget(parentKey, 'stop'), null)),
    );
    const orphans = children.flatMap(({ id, since }, index): { id: string; stop: StopRecord }[] => {
      const stop = parseStop(stops[index], null);
      // One that was retried on its own is its parent's no more.
      return stop && (stop.at?.getTime() ?? 0) >= since ? [{ id, stop }] : [];
    });
    await Promise.all(orphans.map(({ id, stop }) => stopper.request([id], { reason: stop.reason, by: stop.by })));
    return orphans.length;
  }
}

function isOver({ place }: FoundJob): boolean {
  return place === 'completed' || place === 'failed';
}

function isLive(job: FoundJob): boolean {
  return job.place !== 'unreadable' && !isOver(job);
}

function push(groups: Map<string, string[]>, name: string, id: string): void {
  const ids = groups.get(name);
  if (ids) ids.push(id);
  else groups.set(name, [id]);
}
