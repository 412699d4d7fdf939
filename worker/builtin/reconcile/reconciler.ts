import { isName, quote } from '../../../shared/keys.js';
import type { Logger } from '../../../shared/log/logger.js';
import { IndexSweep } from '../../../shared/registry/index-repair.js';
import { isAtStart, isScheduledRun } from '../../../shared/schedule/schedule.js';
import { parseStop } from '../../../shared/stop/receipt.js';
import type { Store } from '../../../shared/store.js';
import { deadWorkers } from '../../../shared/workers/heartbeats.js';
import type { RegistryReconcileOutput } from '../definitions.js';
import { EndedWalk } from './ended-walk.js';
import { EntryCheck } from './entries.js';
import { JobLists } from './job-lists.js';
import { LineCheck } from './line-check.js';
import { LostJobs } from './lost-jobs.js';
import { type Cursors, Isolation, RunRecord } from './run-record.js';
import { Strays } from './strays.js';

interface ReconcilerOptions {
  readonly store: Store;
  /** How long an entry of the registry may be without a job, in ms. */
  readonly graceMs: number;
  readonly logger: Logger;
  /** Most entries, waiting jobs and ended jobs examined in one run. Default 10,000 each. */
  readonly limit?: number;
}

type Counts = { -readonly [Name in keyof RegistryReconcileOutput]: RegistryReconcileOutput[Name] };

const DEFAULT_LIMIT = 10_000;
/** Tolerated difference between clocks, in ms. */
const CLOCK_MS = 5_000;
const PAGE = 100;
const MAX_PENDING_STOPS = 1_000;

/**
 * Compares the registry with the queues, page by page, and repairs the effects of crashes: see docs/explanation/stop-protocol.md. All
 * repairs are idempotent, so concurrent or interrupted runs do no harm.
 */
export class Reconciler {
  readonly #check: EntryCheck;
  readonly #lists: JobLists;
  readonly #lineCheck: LineCheck;
  readonly #ended: EndedWalk;
  readonly #record: RunRecord;
  readonly #limit: number;

  constructor(private readonly options: ReconcilerOptions) {
    this.#check = new EntryCheck(options.store, options.graceMs);
    this.#lists = new JobLists(options.store);
    this.#lineCheck = new LineCheck(options.store);
    this.#ended = new EndedWalk(options.store, (key) => this.#isolation(key));
    this.#record = new RunRecord(options.store);
    this.#limit = options.limit ?? DEFAULT_LIMIT;
  }

  /**
   * Continues where the last run ended.
   * @throws the signal's reason; earlier repairs stay
   */
  async run(signal?: AbortSignal): Promise<RegistryReconcileOutput> {
    const startedAt = performance.now();
    const { store, logger } = this.options;
    const counts: Counts = {
      entries: 0,
      young: 0,
      removed: 0,
      jobs: 0,
      registered: 0,
      settled: 0,
      inherited: 0,
      early: 0,
      restored: 0,
      indexed: 0,
      findable: 0,
      stale: 0,
      expired: 0,
      complete: false,
      took_ms: 0,
    };
    const cursors = await this.#record.load();
    try {
      const queues = await this.#lists.queues();
      const { keys } = store;
      const rest = this.#isolation(keys.tasks);
      await this.#isolation(keys.pausedQueues).step(() => store.pauses.tend());
      await this.#isolation(keys.pendingStops).step(() => this.#carryOutPendingStops(counts));
      await this.#checkActive(queues, counts);
      await this.#walkWaiting(queues, cursors, counts, signal);
      const lost = new LostJobs(store, logger, (key) => this.#isolation(key));
      await this.#isolation(keys.taskQueues).step(() => this.#walkEntries(cursors, lost, counts, signal));
      await this.#restore(lost, counts, signal);
      await this.#walkEnded(queues, cursors, counts, signal);
      await this.#isolation(keys.findTexts).step(() => this.#sweepIndexes(cursors, counts, signal));
      await rest.step(async () => void (counts.removed += await new Strays(store, queues).drop(cursors.strays, signal)));
    } catch (error) {
      // Includes the page that failed. If saving fails, pages are only examined twice.
      await this.#record.save(cursors).catch(() => undefined);
      throw error;
    } finally {
      store.taskCounters.repaired(counts);
    }
    counts.complete = cursors.entries === '0' && cursors.jobs === null && cursors.ended === null;
    counts.took_ms = Math.round(performance.now() - startedAt);
    await Promise.all([this.#record.save(cursors), this.#record.saveCounts(counts)]);
    const { removed, registered, settled, inherited, early, restored, indexed, findable, stale } = counts;
    if (removed + registered + settled + inherited + early + restored + indexed + findable + stale > 0)
      logger.info(counts, 'Repaired the registry');
    return counts;
  }

  /** Removes entries of missing or finished jobs, and completes partial ones. */
  async #walkEntries(cursors: Cursors, lost: LostJobs, counts: Counts, signal: AbortSignal | undefined): Promise<void> {
    const { redis, keys, unreadable } = this.options.store;
    const isolation = this.#isolation(keys.taskQueues);
    if (cursors.entries === '0') cursors.findsLive = true;
    do {
      signal?.throwIfAborted();
      const [next, flat] = await unreadable.read(keys.taskQueues, 'hash', redis.hscan(keys.taskQueues, cursors.entries, 'COUNT', PAGE), [
        '0',
        [],
      ]);
      const listed = this.#readEntries(flat);
      counts.entries += flat.length / 2;
      await isolation.each([...listed.keys()], async (ids) => {
        const { young, removed, registered, inherited, findable } = await this.#check.check(
          new Map(ids.map((id) => [id, listed.get(id) as string])),
          lost,
        );
        counts.young += young;
        counts.removed += removed;
        counts.registered += registered;
        counts.inherited += inherited;
        counts.findable += findable;
      });
      cursors.entries = next;
    } while (cursors.entries !== '0' && counts.entries < this.#limit);
    if (cursors.entries === '0' && cursors.findsLive) await redis.set(keys.findComplete, 1);
  }

  /** Indexes and expires ended tasks; see {@link EndedWalk}. */
  async #walkEnded(queues: readonly string[], cursors: Cursors, counts: Counts, signal: AbortSignal | undefined): Promise<void> {
    if (cursors.ended === null) cursors.findsEnded = true;
    cursors.ended = await this.#ended.run(queues, cursors.ended, this.#limit, { counts, signal });
    if (cursors.ended === null && cursors.findsEnded) await this.#ended.markComplete(queues);
  }

  /** Removes stale entries from the indexes of live tasks. */
  async #sweepIndexes(cursors: Cursors, counts: Counts, signal: AbortSignal | undefined): Promise<void> {
    const { next, removed } = await new IndexSweep(this.options.store).run(cursors.sweep, this.#limit, signal);
    cursors.sweep = next;
    counts.stale += removed;
  }

  /** Parses the reply of HSCAN into queues by id. */
  #readEntries(flat: readonly string[]): Map<string, string> {
    const { keys, unreadable } = this.options.store;
    const listed = new Map<string, string>();
    for (let index = 0; index + 1 < flat.length; index += 2) {
      const [id, queue] = [flat[index] as string, flat[index + 1] as string];
      if (isName(queue)) listed.set(id, queue);
      else unreadable.report({ key: keys.taskQueues, id, problem: `expected a queue name, got ${quote(queue)}` });
    }
    return listed;
  }

  async #restore(lost: LostJobs, counts: Counts, signal: AbortSignal | undefined): Promise<void> {
    const { restored, settled } = await lost.restore(signal);
    counts.restored += restored;
    counts.settled += settled;
  }

  /** Examines all active jobs in each run: the owner of a stopped task may be dead. */
  async #checkActive(queues: readonly string[], counts: Counts): Promise<void> {
    for (const queue of queues) await this.#checkJobs(queue, await this.#lists.active(queue), counts);
  }

  async #walkWaiting(queues: readonly string[], cursors: Cursors, counts: Counts, signal: AbortSignal | undefined): Promise<void> {
    const { store } = this.options;
    const limit = counts.jobs + this.#limit;
    do {
      signal?.throwIfAborted();
      const page = await this.#lists.page(queues, cursors.jobs, PAGE);
      let left = await this.#checkJobs(page.queue, page, counts);
      if (page.list === 'delayed') {
        const isolation = this.#isolation(store.keys.jobs(page.queue));
        await isolation.each(page.ids, (ids) => this.#shortenDelays(page.queue, ids));
        await isolation.each(page.ids, async (ids) => void (left += await this.#lineCheck.check(page.queue, ids)));
      }
      // Some jobs have left their list, and later ones moved up.
      cursors.jobs = page.next && { ...page.next, offset: Math.max(0, page.next.offset - left) };
    } while (cursors.jobs !== null && counts.jobs < limit);
  }

  /**
   * Shortens delays computed by a clock that was ahead: Redis', before it was set back, or another program's. Scheduled runs have their due
   * time in their id and are repaired with their schedules.
   */
  async #shortenDelays(queue: string, ids: readonly string[]): Promise<void> {
    const { store, logger } = this.options;
    const { redis, queues, keys } = store;
    const delayed = ids.filter((id) => !isScheduledRun(id));
    if (delayed.length === 0) return;
    const shortened = await redis.shortenDelays(...queues.scriptKeys(queue, 'delayed', 'marker'), keys.jobs(queue), CLOCK_MS, ...delayed);
    if (shortened.length > 0)
      logger.warn({ queue, jobs: shortened.length, ids: shortened.slice(0, 5) }, 'Shortened delays that a fast clock had extended');
  }

  /**
   * Registers missing jobs, and settles stops whose owner is dead or whose job went back to its queue. Returns the number of settled stops.
   */
  async #checkJobs(
    queue: string,
    { ids, stopped }: { readonly ids: readonly string[]; readonly stopped: readonly string[] },
    counts: Counts,
  ): Promise<number> {
    if (ids.length === 0) return 0;
    const isolation = this.#isolation(this.options.store.keys.jobs(queue));
    const before = counts.settled;
    counts.jobs += ids.length;
    await isolation.each(stopped, async (some) => void (counts.settled += await this.#settle(queue, some)));
    await isolation.each(ids, async (some) => void (counts.registered += await this.#registerMissing(queue, some)));
    return counts.settled - before;
  }

  async #settle(queue: string, stopped: readonly string[]): Promise<number> {
    const { store } = this.options;
    const answers = await store.stopper.settleStopped(new Map([[queue, [...stopped]]]), await deadWorkers(store));
    return [...answers.values()].filter(({ kind }) => kind === 'cancelled').length;
  }

  async #registerMissing(queue: string, ids: readonly string[]): Promise<number> {
    const { redis, keys, unreadable } = this.options.store;
    const listed = await unreadable.read(keys.taskQueues, 'hash', redis.hmget(keys.taskQueues, ...ids), []);
    // Scheduled tasks are registered by their worker while they run, if users may see them.
    const missing = ids.filter((id, index) => listed[index] === null && !isScheduledRun(id) && !isAtStart(queue, id));
    return missing.length === 0 ? 0 : this.#check.register(new Map(missing.map((id) => [id, queue])));
  }

  /** Carries out stops that were recorded before their job existed, if both sides died before doing so. */
  async #carryOutPendingStops(counts: Counts): Promise<void> {
    const { pendingStops, registry, reader, stopper, redis, keys } = this.options.store;
    const ids = await pendingStops.ids(MAX_PENDING_STOPS);
    if (ids.length === 0) return;
    const [entries, tasks, stops] = await Promise.all([registry.find(ids), reader.read(ids), redis.hmget(keys.pendingStops, ...ids)]);
    const done: string[] = [];
    for (const [index, id] of ids.entries()) {
      const stop = parseStop(stops[index], null);
      const arrived = tasks.has(id);
      if (arrived && stop) {
        await stopper.request([id], { reason: stop.reason, by: stop.by });
        counts.early += 1;
      }
      // Registered without a job: the job may still arrive.
      if (arrived || !entries[index]) done.push(id);
    }
    await pendingStops.clear(done);
  }

  /** Reports records that Redis rejects. If the key is a prefix of job keys, the record is a job; else it is an id in the key. */
  #isolation(key: string): Isolation {
    const { unreadable } = this.options.store;
    return new Isolation((ids, { message }) => {
      const [first] = ids;
      const of = key.endsWith(':') ? { key: `${key}${first ?? ''}` } : { key, id: first };
      unreadable.report({ ...of, problem: ids.length > 1 ? `${message}, or one of ${ids.length - 1} beside it` : message });
    });
  }
}
