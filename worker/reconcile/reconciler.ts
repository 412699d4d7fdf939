import type { Logger } from '../../shared/logger.js';
import { deadWorkers } from '../../shared/registry/dead-workers.js';
import { isAtStart, isScheduledRun } from '../../shared/schedule/schedule.js';
import { parseStop } from '../../shared/stop/record.js';
import type { Store } from '../../shared/store.js';
import type { RegistryReconcileOutput } from '../../shared/task/builtin/index.js';
import { EntryCheck } from './entries.js';
import { JobLists, type JobPosition } from './job-lists.js';
import { Strays } from './strays.js';

export interface ReconcilerOptions {
  readonly store: Store;
  /** How long an entry of the registry may be without a job, in ms. */
  readonly graceMs: number;
  readonly logger: Logger;
  /** Entries, and waiting jobs, that one run looks at. Default 10,000 each. */
  readonly limit?: number;
}

/** How far a run has come. */
interface Cursors {
  /** Of HSCAN. */
  entries: string;
  jobs: JobPosition | null;
}

type Counts = { -readonly [Name in keyof RegistryReconcileOutput]: RegistryReconcileOutput[Name] };

const DEFAULT_LIMIT = 10_000;
const PAGE = 500;
const MAX_EARLY_STOPS = 1_000;

/**
 * Compares the registry with the queues, page by page, and repairs what crashes left: see docs/stop-protocol.md. Every
 * repair may be made twice, so two runs at once do no harm, nor does one that is stopped in the middle.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #check: EntryCheck;
  readonly #lists: JobLists;
  readonly #strays: Strays;
  readonly #limit: number;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#check = new EntryCheck(options.store, options.graceMs);
    this.#lists = new JobLists(options.store);
    this.#strays = new Strays(options.store);
    this.#limit = options.limit ?? DEFAULT_LIMIT;
  }

  /** Goes on where the last run left off. @throws the signal's reason; what was done by then is kept. */
  async run(signal?: AbortSignal): Promise<RegistryReconcileOutput> {
    const startedAt = performance.now();
    const counts: Counts = { entries: 0, young: 0, removed: 0, jobs: 0, registered: 0, settled: 0, inherited: 0, early: 0, complete: false, took_ms: 0 };
    const cursors = await this.#load();
    try {
      await this.#carryOutEarlyStops(counts);
      await this.#lookAtActive(counts);
      await this.#walkWaiting(cursors, counts, signal);
      await this.#walkEntries(cursors, counts, signal);
      counts.removed += await this.#strays.drop(signal);
    } catch (error) {
      // With the page that failed. Should it not be saved, pages are looked at twice, no more.
      await this.#saveCursors(cursors).catch(() => undefined);
      throw error;
    } finally {
      this.#options.store.tally.repaired(counts);
    }
    counts.complete = cursors.entries === '0' && cursors.jobs === null;
    counts.took_ms = Math.round(performance.now() - startedAt);
    await Promise.all([this.#saveCursors(cursors), this.#saveCounts(counts)]);
    const { removed, registered, settled, inherited, early } = counts;
    if (removed + registered + settled + inherited + early > 0) this.#options.logger.info(counts, 'Repaired the registry');
    return counts;
  }

  /** Entries without a job go, those of ended jobs too; what is listed in part is completed. */
  async #walkEntries(cursors: Cursors, counts: Counts, signal: AbortSignal | undefined): Promise<void> {
    const { redis, keys } = this.#options.store;
    do {
      signal?.throwIfAborted();
      const [next, flat] = await redis.hscan(keys.taskQueues, cursors.entries, 'COUNT', PAGE);
      const listed = new Map(flat.flatMap((id, index) => (index % 2 === 0 ? [[id, flat[index + 1] as string] as const] : [])));
      if (listed.size > 0) {
        const { young, removed, registered, inherited } = await this.#check.check(listed);
        counts.entries += listed.size;
        counts.young += young;
        counts.removed += removed;
        counts.registered += registered;
        counts.inherited += inherited;
      }
      cursors.entries = next;
    } while (cursors.entries !== '0' && counts.entries < this.#limit);
  }

  /** What runs, in each run: the owner of a stopped task may be dead. */
  async #lookAtActive(counts: Counts): Promise<void> {
    for (const queue of await this.#options.store.registry.queueNames()) await this.#look(queue, await this.#lists.active(queue), counts);
  }

  async #walkWaiting(cursors: Cursors, counts: Counts, signal: AbortSignal | undefined): Promise<void> {
    const limit = counts.jobs + this.#limit;
    do {
      signal?.throwIfAborted();
      const page = await this.#lists.page(cursors.jobs, PAGE);
      const settled = await this.#look(page.queue, page, counts);
      // What was settled has left its list, and what comes after it has moved up.
      cursors.jobs = page.next && { ...page.next, offset: Math.max(0, page.next.offset - settled) };
    } while (cursors.jobs !== null && counts.jobs < limit);
  }

  /**
   * Jobs that are not in the registry are registered again; stops whose owner is dead, or that went back to their queue,
   * are settled. Returns how many.
   */
  async #look(queue: string, { ids, stopped }: { ids: readonly string[]; stopped: string[] }, counts: Counts): Promise<number> {
    if (ids.length === 0) return 0;
    counts.jobs += ids.length;
    const settled = stopped.length === 0 ? 0 : await this.#settle(queue, stopped);
    counts.settled += settled;
    counts.registered += await this.#registerMissing(queue, ids);
    return settled;
  }

  async #settle(queue: string, stopped: string[]): Promise<number> {
    const { store } = this.#options;
    const answers = await store.stopper.settleStopped(new Map([[queue, stopped]]), await deadWorkers(store));
    return [...answers.values()].filter(({ kind }) => kind === 'cancelled').length;
  }

  async #registerMissing(queue: string, ids: readonly string[]): Promise<number> {
    const { redis, keys } = this.#options.store;
    const listed = await redis.hmget(keys.taskQueues, ...ids);
    // What a schedule adds is registered while it runs, by its worker, if it is to be seen at all.
    const missing = ids.filter((id, index) => listed[index] === null && !isScheduledRun(id) && !isAtStart(queue, id));
    return missing.length === 0 ? 0 : this.#check.register(new Map(missing.map((id) => [id, queue])));
  }

  /** A task that was stopped before its job was there, by someone whose counterpart did not live to see it. */
  async #carryOutEarlyStops(counts: Counts): Promise<void> {
    const { earlyStops, registry, reader, stopper, redis, keys } = this.#options.store;
    const ids = await earlyStops.ids(MAX_EARLY_STOPS);
    if (ids.length === 0) return;
    const [entries, tasks, stops] = await Promise.all([registry.find(ids), reader.read(ids), redis.hmget(keys.earlyStops, ...ids)]);
    const done: string[] = [];
    for (const [index, id] of ids.entries()) {
      const stop = parseStop(stops[index], null);
      const arrived = tasks.has(id);
      if (arrived && stop) {
        await stopper.request([id], { reason: stop.reason, by: stop.by });
        counts.early += 1;
      }
      // Registered and without a job: it may still be on its way.
      if (arrived || !entries[index]) done.push(id);
    }
    await earlyStops.clear(done);
  }

  async #load(): Promise<Cursors> {
    const { redis, keys } = this.#options.store;
    const [entries, jobs] = await redis.hmget(keys.reconcile, 'entries_cursor', 'jobs_cursor');
    return { entries: /^\d+$/.test(entries ?? '') ? (entries as string) : '0', jobs: this.#lists.parse(jobs ?? null) };
  }

  async #saveCursors({ entries, jobs }: Cursors): Promise<void> {
    const { redis, keys } = this.#options.store;
    await redis.hset(keys.reconcile, { entries_cursor: entries, jobs_cursor: this.#lists.format(jobs) });
  }

  async #saveCounts({ complete, ...numbers }: Counts): Promise<void> {
    const { redis, keys } = this.#options.store;
    await redis.hset(keys.reconcile, { at: this.#options.store.clock.now(), ...numbers, complete: Number(complete) });
  }
}
