import { append } from '../../../shared/groups.js';
import { missingInIndexes } from '../../../shared/registry/index-repair.js';
import { isShared } from '../../../shared/reserved-ids.js';
import { type StopRecord, parseStop } from '../../../shared/stop/receipt.js';
import type { Store } from '../../../shared/store.js';
import { membershipsOf } from '../../../shared/task/job-options.js';
import { type Compared, EntryReader, type FoundJob } from './entry-reader.js';
import type { LostJobs } from './lost-jobs.js';

/** An entry whose job exists. */
type Live = Compared & { readonly job: FoundJob };

interface EntryCounts {
  young: number;
  removed: number;
  registered: number;
  inherited: number;
  findable: number;
}

/** How old the entry of a finished task must be to count as left over: a retry registers its task first. */
const FINISHED_GRACE_MS = 5_000;
/** An entry registered further in the future than this came from a clock that was ahead. */
const AHEAD_MS = 60_000;

/** Compares entries of the registry with their jobs. */
export class EntryCheck {
  readonly #reader: EntryReader;

  /** @param graceMs how long an entry may be without a job */
  constructor(
    private readonly store: Store,
    private readonly graceMs: number,
  ) {
    this.#reader = new EntryReader(store);
  }

  /** Repairs the entries in `listed`, queues by id. Jobs that may have lost their place are passed to `lost`. */
  async check(listed: ReadonlyMap<string, string>, lost: LostJobs): Promise<EntryCounts> {
    const { entries, areDated } = await this.#reader.read(listed);
    const now = this.store.clock.now();
    const gone = entries.filter(({ job }) => job === null);
    const over = entries.filter((entry): entry is Live => entry.job !== null && isOver(entry.job));
    // Entries of unreadable jobs stay listed.
    const live = entries.filter((entry): entry is Live => entry.job !== null && isLive(entry.job));
    for (const { id, queue, job } of [...over, ...live.filter(({ job: { place } }) => place === 'waiting')]) {
      lost.suspect(queue, { id, timestamp: job.timestamp ?? 0, stopped: job.stopped, ended: isOver(job) });
    }
    await this.#holdKeys(live);
    if (!areDated) return { young: 0, removed: 0, registered: 0, findable: 0, inherited: await this.#inheritStops(live) };
    const old = gone.filter(({ registeredAt }) => registeredAt !== null && now - registeredAt >= this.graceMs);
    const left = over.filter(({ registeredAt }) => registeredAt !== null && now - registeredAt >= FINISHED_GRACE_MS);
    // An entry of unknown age, or from a clock that was ahead, ages from now on: its registration may be in progress.
    await this.#age(
      [...gone, ...over].filter(({ registeredAt }) => registeredAt === null || registeredAt > now + AHEAD_MS),
      now,
    );
    const removed = await this.#drop([...old, ...left]);
    const registered = await this.#complete(live);
    const findable = await this.#index(live);
    const inherited = await this.#inheritStops(live);
    return { young: gone.length - old.length, removed, registered, inherited, findable };
  }

  /** Registers live tasks that are missing in the registry, no matter who added them. Returns their number. */
  async register(missing: ReadonlyMap<string, string>): Promise<number> {
    const found = await this.#reader.jobs(missing);
    const live = [...found].flatMap(([id, job]): Live[] =>
      isLive(job) ? [{ id, queue: missing.get(id) as string, item: null, score: null, registeredAt: null, job }] : [],
    );
    return this.#add(live);
  }

  /** Gives live tasks their deduplication keys back, if these were deleted or evicted. A throttled task's key expires before it ends. */
  async #holdKeys(live: readonly Live[]): Promise<void> {
    const { redis, keys } = this.store;
    const holders = live.filter(
      ({ job: { options, stopped } }) => options.de && options.dedupe && options.dedupe !== 'throttle' && !stopped,
    );
    await Promise.all(
      holders.map(({ id, queue, job: { options } }) =>
        redis.holdKey(`${keys.jobs(queue)}de:${options.de?.id ?? ''}`, keys.jobs(queue) + id, id),
      ),
    );
  }

  async #age(entries: readonly Compared[], now: number): Promise<void> {
    if (entries.length === 0) return;
    const { redis, keys } = this.store;
    const ids = entries.map(({ id }) => id);
    const missing = entries.filter(({ score }) => score === null);
    const wrong = entries.filter(({ score }) => score !== null);
    if (missing.length > 0) await redis.zadd(keys.live, 'NX', ...missing.flatMap(({ id }) => [now, id]));
    if (wrong.length > 0) await redis.zadd(keys.live, 'XX', ...wrong.flatMap(({ id }) => [now, id]));
    // Some tasks may have been added and finished meanwhile: nothing else would remove an entry that is only in this list.
    const listed = await redis.hmget(keys.taskQueues, ...ids);
    const over = ids.filter((_, index) => listed[index] === null);
    if (over.length > 0) await redis.zrem(keys.live, ...over);
  }

  async #drop(entries: readonly Compared[]): Promise<number> {
    const found = entries.map(({ id, item, job, score }) => ({
      id,
      item: job?.options.item || item || '',
      parent: job?.options.childOf?.id,
      score: score ?? '',
    }));
    const dropped = await this.store.registry.removeUnchanged(found);
    if (dropped.size > 0) await this.store.limiter.release([...dropped]);
    return dropped.size;
  }

  /** Repairs entries that are incomplete or listed under the wrong item. */
  async #complete(live: readonly Live[]): Promise<number> {
    const { redis, keys } = this.store;
    const [unlisted, unleased] = await Promise.all([this.#missingInItem(live), this.#withoutLease(live)]);
    const isWrong = ({ id, item, registeredAt, job: { options } }: Live): boolean =>
      (isShared(id) && item !== (options.item ?? '')) || registeredAt === null || unlisted.has(id) || unleased.has(id);
    const wrong = live.filter(isWrong);
    const elsewhere = wrong.filter(({ item, job: { options } }) => item && item !== options.item);
    await Promise.all(
      elsewhere.flatMap(({ id, item }) => [redis.srem(keys.item(item ?? ''), id), redis.srem(keys.ownItem(item ?? ''), id)]),
    );
    return this.#add(wrong);
  }

  /** Adds live tasks to the indexes of searches where they are missing. Returns their number. */
  async #index(live: readonly Live[]): Promise<number> {
    const { redis, registry } = this.store;
    const listed = live.filter(({ registeredAt }) => registeredAt !== null);
    const tasks = listed.map(({ id, score, job }) => ({ id, score, ...membershipsOf(job.options, job.name) }));
    const missing = await missingInIndexes(this.store, tasks);
    const writes = registry.writes();
    for (const { id, queue, registeredAt, job } of listed)
      if (missing.has(id)) writes.index({ id, queue, ...membershipsOf(job.options, job.name), at: registeredAt as number });
    await Promise.all(writes.flushInto(redis));
    return missing.size;
  }

  /**
   * Returns the tasks that are missing in a set of their item. A key of a wrong type counts as complete, because nothing can be added to
   * it.
   */
  async #missingInItem(live: readonly Live[]): Promise<Set<string>> {
    const { redis, keys, unreadable } = this.store;
    const byItem = new Map<string, string[]>();
    for (const {
      id,
      job: {
        options: { item },
      },
    } of live)
      if (item) append(byItem, item, id);
    const missing = await Promise.all(
      [...byItem].map(async ([item, ids]) => {
        const read = (key: string): Promise<number[]> => unreadable.read(key, 'set', redis.smismember(key, ...ids), []);
        const [ours, shared] = await Promise.all([read(keys.ownItem(item)), read(keys.item(item))]);
        return ids.filter((id, index) => ours[index] === 0 || (isShared(id) && shared[index] === 0));
      }),
    );
    return new Set(missing.flat());
  }

  /** Returns the tasks without a lease. Once open-webui was seen, tasks registered before get theirs here. */
  async #withoutLease(live: readonly Live[]): Promise<Set<string>> {
    const { redis, keys, facts } = this.store;
    const ids = facts.written ? live.map(({ id }) => id).filter(isShared) : [];
    if (ids.length === 0) return new Set();
    const leases = await redis.mget(...ids.map((id) => keys.lease(id)));
    return new Set(ids.filter((_, index) => leases[index] === null));
  }

  async #add(live: readonly Live[]): Promise<number> {
    if (live.length === 0) return 0;
    const { redis, registry } = this.store;
    const writes = registry.writes();
    for (const { id, queue, registeredAt, job } of live)
      writes.add({ id, queue, ...membershipsOf(job.options, job.name), at: registeredAt ?? job.timestamp ?? this.store.clock.now() });
    await Promise.all(writes.flushInto(redis));
    // Some may have finished meanwhile, and their workers have already removed them from the registry.
    const again = await this.#reader.read(new Map(live.map(({ id, queue }) => [id, queue])));
    return live.length - (await this.#drop(again.entries.filter(({ job }) => job === null || isOver(job))));
  }

  /** Stops the children of stopped parents, for enqueuers and stoppers that died before doing so. */
  async #inheritStops(live: readonly Live[]): Promise<number> {
    const { redis, keys, stopper, unreadable } = this.store;
    const children = live.flatMap(({ id, job: { stopped, flowParent, options } }) => {
      const parent = options.childOf ?? flowParent;
      return parent && !stopped ? [{ id, parentKey: keys.jobs(parent.queue) + parent.id, since: options.retriedAt ?? 0 }] : [];
    });
    const stops = await Promise.all(
      children.map(({ parentKey }) => unreadable.read(parentKey, 'hash', redis.hget(parentKey, 'stop'), null)),
    );
    const orphans = children.flatMap(({ id, since }, index): { id: string; stop: StopRecord }[] => {
      const stop = parseStop(stops[index], null);
      // A child that was retried on its own no longer follows its parent.
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
