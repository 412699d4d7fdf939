import { messageOf } from '../errors.js';
import type { Keys } from '../keys.js';
import { chunks } from '../limits.js';
import { type Logger, RepeatedLines } from '../log/logger.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { Batch } from './batch.js';
import { publishedFields } from './list/published-limits.js';
import type { LimitStep } from './marks.js';
import type { AdmittedTask, ParkedJobs } from './parked-jobs.js';
import type { WhenBusy } from './policy.js';
import type { Admission, LimitRecord, LimitedTask, Standing, StoredStanding, WaitingFor } from './standing.js';

interface LimiterOptions {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly parked: ParkedJobs;
  readonly logger: Logger;
}

/** What a script answers: tasks to unpark, flattened, and whether it left work. */
type Reply = readonly [admitted: string[], left: 0 | 1, ...more: unknown[]];

/** Tasks per script, because a script blocks Redis. */
const ASKED_AT_ONCE = 50;
const RELEASED_AT_ONCE = 100;
const READ_AT_ONCE = 40;
/** Interval in which one process of the fleet tends the lines, in ms. */
const TURN_MS = 250;

/**
 * Lines tasks up for their limits: see docs/reference/limits.md. Its keys share one slot of a cluster, and each step
 * may be repeated.
 *
 * Calls of one turn of the event loop are sent as one script.
 */
export class Limiter {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #parked: ParkedJobs;
  readonly #lines: RepeatedLines;
  readonly #admissions: Batch<LimitedTask & { readonly whenBusy: WhenBusy }, Admission>;
  readonly #starts: Batch<LimitedTask, Standing>;
  readonly #releases: Batch<{ readonly id: string; readonly run: string }, void>;
  /** Jobs being unparked. */
  readonly #open = new Set<Promise<void>>();

  constructor({ redis, keys, parked, logger }: LimiterOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#parked = parked;
    this.#lines = new RepeatedLines(logger);
    // The writer of jobs calls it for many tasks in a row, and must not wait for another turn.
    this.#admissions = new Batch(queueMicrotask, ASKED_AT_ONCE, (tasks) => this.#admit(tasks));
    this.#starts = new Batch(setImmediate, ASKED_AT_ONCE, (tasks) => this.#start(tasks));
    this.#releases = new Batch(setImmediate, RELEASED_AT_ONCE, (tasks) => this.#release(tasks));
  }

  /** Admits a task that is being enqueued, or puts it in line. Nothing is written if it is refused. */
  admit(task: LimitedTask, whenBusy: WhenBusy = 'wait'): Promise<Admission> {
    return this.#admissions.add({ ...task, whenBusy });
  }

  /** Asks whether a fetched task may start. If not, the caller parks it, or delays it until the given time. */
  start(task: LimitedTask): Promise<Standing> {
    return this.#starts.add(task);
  }

  /**
   * Frees what tasks hold, because they have ended or wait for another attempt, and lets the next in line on.
   * @param run the run that ended, or the nonce of an enqueue: another worker may have started the task anew, whose places must stay.
   *   Default: whatever the task holds
   */
  async release(ids: readonly string[], run = ''): Promise<void> {
    await Promise.all(ids.map((id) => this.#releases.add({ id, run })));
  }

  /** Unparks those of these tasks that were admitted before they were parked. */
  async recheck(ids: readonly string[]): Promise<void> {
    const found = await this.records(ids);
    await this.#unpark([...found].flatMap(([id, { state, queue, at }]) => (state === 'admitted' ? [{ id, queue, at }] : [])));
  }

  /** Rechecks without making the caller wait. A failure is logged; `tend` unparks what is left. */
  recheckLater(ids: readonly string[]): void {
    this.#later(this.recheck(ids));
  }

  /**
   * Lets tasks on whose time has come, and repairs what a crash left. One process of the fleet does so at a time.
   * @param options.graceMs how long a task may be unregistered before its record is dropped
   */
  async tend({ graceMs, atOnce = false }: { readonly graceMs: number; readonly atOnce?: boolean }): Promise<void> {
    const [admitted, left] = await this.#redis.tendLines(
      this.#keys.limiter('tasks'),
      this.#keys.taskQueues,
      this.#keys.limiter(''),
      graceMs,
      atOnce ? 0 : TURN_MS,
    );
    await this.#unpark(tasksOf(admitted));
    if (left === 1) await this.tend({ graceMs, atOnce: true });
  }

  /** Returns the records of tasks. Those without one are missing. */
  async records(ids: readonly string[]): Promise<Map<string, LimitRecord>> {
    const records = new Map<string, LimitRecord>();
    const reading = chunks([...ids], READ_AT_ONCE).map(async (some) => {
      const answers = await this.#redis.readStandings(...this.#base(), ...some);
      answers.forEach((answer, index) => answer && records.set(some[index] as string, recordOf(answer)));
    });
    await Promise.all(reading);
    return records;
  }

  /** Returns what each task waits for: null for an admitted task. Tasks that run, or have no record, are missing. */
  async standings(ids: readonly string[]): Promise<Map<string, WaitingFor | null>> {
    return new Map(
      [...(await this.records(ids))].flatMap(([id, { state, waitingFor }]) => (state === 'running' ? [] : [[id, waitingFor]])),
    );
  }

  /** Publishes the limits of this process' definitions. The latest one wins. */
  async publish(steps: readonly Pick<LimitStep, 'limit' | 'max' | 'keyed'>[]): Promise<void> {
    const fields = steps.flatMap(({ limit, max, keyed }) => publishedFields(limit, max, keyed));
    if (fields.length > 0) await this.#redis.hset(this.#keys.limiter('defined'), ...fields);
  }

  /** Corrects what a start has cost of a rate. @param cost to add; negative to give back */
  async spend(rate: LimitStep, cost: number): Promise<void> {
    await this.#finish(this.#redis.spendRate(...this.#base(), JSON.stringify(rate), cost));
  }

  /**
   * Sets the limit of a key, or with `<owner>:*` of every key of an owner; null clears it. Tasks that may start now do.
   */
  async set(id: string, limit: number | null): Promise<void> {
    let cursor = '0';
    do {
      const reply = await this.#redis.setLimit(...this.#base(), id, limit === null ? '' : limit, cursor);
      cursor = String(reply[2]);
      await this.#finish(Promise.resolve(reply));
    } while (cursor !== '0');
  }

  /** Waits until every release so far is written and every admitted job is unparked. */
  async idle(): Promise<void> {
    await this.#releases.idle();
    while (this.#open.size > 0) await Promise.allSettled(this.#open);
  }

  /** Returns the keys of the scripts and their first argument. */
  #base(): [string, string] {
    return [this.#keys.limiter('tasks'), this.#keys.limiter('')];
  }

  async #admit(tasks: readonly (LimitedTask & { readonly whenBusy: WhenBusy })[]): Promise<Admission[]> {
    const reply = await this.#redis.admitTasks(...this.#base(), ...tasks.map(wordOf));
    this.#finishLater(reply);
    return reply[2].map(([kind, second, ids = []]): Admission => {
      if (kind === 'busy' || kind === 'parent') return { kind, id: second, ids };
      return { ...standingOf(kind, second), rivals: ids };
    });
  }

  async #start(tasks: readonly LimitedTask[]): Promise<Standing[]> {
    const reply = await this.#redis.startTasks(...this.#base(), ...tasks.map(wordOf));
    this.#finishLater(reply);
    return reply[2].map(([kind, at]) => standingOf(kind, at));
  }

  async #release(tasks: readonly { readonly id: string; readonly run: string }[]): Promise<void[]> {
    await this.#finish(this.#redis.releaseTasks(...this.#base(), ...tasks.flatMap(({ id, run }) => [id, run])));
    return tasks.map(() => undefined);
  }

  async #finish(replying: Promise<Reply>): Promise<void> {
    const [admitted, left] = await replying;
    await this.#unpark(tasksOf(admitted));
    if (left === 1) await this.tend({ graceMs: Number.MAX_SAFE_INTEGER, atOnce: true });
  }

  /** Unparks without making the caller wait. A job that stays parked is unparked by `tend`. */
  #finishLater(reply: Reply): void {
    if (reply[0].length > 0 || reply[1] === 1) this.#later(this.#finish(Promise.resolve(reply)));
  }

  #later(work: Promise<void>): void {
    const finishing = work.catch((error: unknown) =>
      this.#lines.warn('unpark', { error: messageOf(error) }, 'Could not let waiting tasks on; a worker will within seconds'),
    );
    const open = finishing.then(() => void this.#open.delete(open));
    this.#open.add(open);
  }

  async #unpark(tasks: readonly AdmittedTask[]): Promise<void> {
    if (tasks.length === 0) return;
    // A job that may be parked later stays listed: its enqueuer or worker looks again, and so does `tend`.
    const later = new Set(await this.#parked.unpark(tasks));
    const moved = tasks.flatMap(({ id }) => (later.has(id) ? [] : [id]));
    if (moved.length > 0) await this.#redis.zrem(this.#keys.limiter('admitted'), ...moved);
  }
}

/** A null would be true for the scripts. */
function wordOf({ deadline, ...task }: LimitedTask): string {
  return JSON.stringify(typeof deadline === 'number' ? { ...task, deadline } : task);
}

function recordOf(answer: StoredStanding): LimitRecord {
  const [state, queue, at, run] = answer;
  return { state, queue, at: Number(at), run, waitingFor: waitingOf(answer) };
}

function waitingOf([, , , , kind, id, limit, running, position, length, until, behind]: StoredStanding): WaitingFor | null {
  if (kind === undefined || id === undefined) return null;
  return {
    ...{ kind, id, limit: Number(limit), running: running ?? 0, position: position ?? 1, length: length ?? 1 },
    ...{ until: until === undefined || until === '0' ? null : new Date(Number(until)), behind: behind ?? [] },
  };
}

function standingOf(kind: string, at: string): Standing {
  if (kind === 'at') return { kind, at: Number(at) };
  return { kind: kind === 'go' ? 'go' : 'line' };
}

function tasksOf(flat: readonly string[]): AdmittedTask[] {
  return chunks(flat, 3).map(([id = '', queue = '', at]) => ({ id, queue, at: Number(at) }));
}
