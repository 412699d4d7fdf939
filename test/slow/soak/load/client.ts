import { uuidv7 } from 'uuidv7';
import type { Producer } from '../../../../producer/index.js';
import { isFleetError } from '../../../../shared/errors.js';
import type { StopReceipt } from '../../../../shared/stop/receipt.js';
import type { Rejected } from '../../faults/audit/history.js';
import { now, within } from '../../faults/load/clock.js';
import type { LoadKind } from '../../faults/load/load-task.js';
import type { JournalWriter } from '../journal.js';
import { soakTask } from './soak-task.js';

export interface ClientLoad {
  /** Enqueues per second. */
  readonly perSecond: number;
  readonly stopsPerSecond: number;
  /** Concurrent tasks that run until they are stopped. */
  readonly holds: number;
}

/** The counts of a client so far. */
export interface ClientCounts {
  readonly enqueued: number;
  readonly stops: number;
  readonly rejected: number;
}

interface Hold {
  readonly id: string;
  /** The earliest stop by `now`: once its enqueue is answered, or later if the answer left its existence open. */
  stopFrom: number;
}

const TURN_MS = 20;
/** The limit of unanswered calls. */
const OPEN_AT_ONCE = 200;
const STOP_WAIT_MS = 30_000;
const LAST_STOPS_MS = 60_000;
const LONGEST_MS = 400;
const SPIN_MS = 30;
const ITEMS = 50;
/** A rejected enqueue may still be in transit, at most for the length of a pause of Redis. */
const UNSURE_MS = 10_000;
/** The client waits for the end of every nth task. */
const WAITED_FOR = 20;
/** The cycle of tasks: one ignores its signal, three are retried, one fails, one runs in a thread. */
const MIX: readonly LoadKind[] = ['deaf', 'retry', 'retry', 'retry', 'fail', 'spin', ...Array.from({ length: 34 }, () => 'run' as const)];

/**
 * Enqueues and stops tasks until ended. Unlike the load of the fault scenarios it remembers live tasks only and writes answers to a
 * journal, so that the memory of its process is the producer's.
 */
export class SoakClient {
  readonly #producer: Producer;
  readonly #journal: JournalWriter;
  readonly #load: ClientLoad;
  readonly #open = new Set<Promise<void>>();
  /** Tasks without a stop yet, including rejected ones, which may exist anyway. */
  readonly #holds = new Map<string, Hold>();
  #latest: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #count = 0;
  #stopCount = 0;
  #enqueued = 0;
  #stops = 0;
  #rejected = 0;

  constructor(producer: Producer, journal: JournalWriter, load: ClientLoad) {
    this.#producer = producer;
    this.#journal = journal;
    this.#load = load;
  }

  get counts(): ClientCounts {
    return { enqueued: this.#enqueued, stops: this.#stops, rejected: this.#rejected };
  }

  start(): void {
    const { perSecond, stopsPerSecond } = this.#load;
    const startedAt = now();
    let [enqueues, stops] = [0, 0];
    this.#timer = setInterval(() => {
      const seconds = (now() - startedAt) / 1_000;
      for (; enqueues < seconds * perSecond; enqueues += 1) if (this.#open.size < OPEN_AT_ONCE) this.#keep(this.#enqueue());
      for (; stops < seconds * stopsPerSecond; stops += 1) if (this.#open.size < OPEN_AT_ONCE) this.#keep(this.#stopOne());
    }, TURN_MS);
  }

  /** Ends the enqueues, stops the endless tasks, and resolves when every call is answered. */
  async end(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    while (this.#open.size > 0) await Promise.all(this.#open);
    await Promise.all([...this.#holds.values()].map((hold) => this.#stopSurely(hold)));
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  async #stopSurely(hold: Hold): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, hold.stopFrom - now())));
    await within(
      `an answer to the stop of ${hold.id}`,
      LAST_STOPS_MS,
      () => this.#stopHold(hold, STOP_WAIT_MS),
      (answered) => answered,
    );
  }

  #keep(work: Promise<unknown>): void {
    const kept = work.then(() => void this.#open.delete(kept));
    this.#open.add(kept);
  }

  async #enqueue(): Promise<void> {
    const number = (this.#count += 1);
    const isHold = this.#holds.size < this.#load.holds;
    const kind = isHold ? 'hold' : (MIX[number % MIX.length] as LoadKind);
    const ms = kind === 'spin' ? SPIN_MS : Math.round((LONGEST_MS * ((number * 7) % 20)) / 20);
    const id = uuidv7();
    const item = number % 3 === 0 ? null : `chat-${number % ITEMS}`;
    const hold = { id, stopFrom: Infinity };
    if (isHold) this.#holds.set(id, hold);
    const askedAt = now();
    try {
      await this.#producer.enqueue(soakTask, { kind, ms }, { id, ...(item !== null && { item }) });
      this.#enqueued += 1;
      hold.stopFrom = now();
      if (!isHold) this.#latest = id;
      this.#journal.write({ fact: 'enqueued', task: { id, kind, item, askedAt, answeredAt: now() } });
      if (number % WAITED_FOR === 0 && !isHold) this.#keep(this.#waitFor(id));
    } catch (error) {
      hold.stopFrom = now() + UNSURE_MS;
      this.#refused('enqueue', id, askedAt, error);
    }
  }

  /** An interrupted wait says nothing about the task. */
  async #waitFor(id: string): Promise<void> {
    try {
      const { state } = await this.#producer.waitUntilFinished(id, { timeoutMs: STOP_WAIT_MS });
      this.#journal.write({ fact: 'ended', id, state: state as 'completed' | 'failed' });
    } catch (error) {
      if (isFleetError(error, 'TASK_CANCELLED')) this.#journal.write({ fact: 'ended', id, state: 'cancelled' });
    }
  }

  /** Stops in turn an endless task, another task, or all tasks of an item. Half of the stops wait for the end. */
  async #stopOne(): Promise<void> {
    const number = (this.#stopCount += 1);
    const waitMs = number % 2 === 0 ? STOP_WAIT_MS : 0;
    if (number % 10 === 0) return this.#stopItem(`chat-${number % ITEMS}`, waitMs);
    if (number % 3 === 0) {
      if (this.#latest !== null) await this.#stop(this.#latest, waitMs);
      return;
    }
    const hold = [...this.#holds.values()].find(({ stopFrom }) => stopFrom <= now());
    if (hold) await this.#stopHold(hold, waitMs);
  }

  /** Returns whether the stop was answered; if not, it is repeated later. */
  async #stopHold(hold: Hold, waitMs: number): Promise<boolean> {
    this.#holds.delete(hold.id);
    const isDone = await this.#stop(hold.id, waitMs);
    if (!isDone) this.#holds.set(hold.id, hold);
    return isDone;
  }

  async #stop(id: string, waitMs: number): Promise<boolean> {
    this.#journal.write({ fact: 'asked', id });
    const askedAt = now();
    try {
      this.#stopped(askedAt, await this.#producer.stop([id], { by: 'soak', waitMs }));
      return true;
    } catch (error) {
      this.#refused('stop', id, askedAt, error);
      return false;
    }
  }

  async #stopItem(item: string, waitMs: number): Promise<void> {
    this.#journal.write({ fact: 'asked item', item });
    const askedAt = now();
    try {
      const receipts = await this.#producer.stopItem(item, { by: 'soak', waitMs });
      for (const { id } of receipts) this.#holds.delete(id);
      this.#stopped(askedAt, receipts);
    } catch (error) {
      this.#refused('stop', item, askedAt, error);
    }
  }

  #stopped(askedAt: number, receipts: readonly StopReceipt[]): void {
    this.#stops += receipts.length;
    this.#journal.write({ fact: 'stopped', askedAt, answeredAt: now(), receipts });
  }

  #refused(what: 'enqueue' | 'stop', id: string, askedAt: number, error: unknown): void {
    this.#rejected += 1;
    const { code = 'none', message } = error as Error & { code?: string };
    const call: Rejected = { askedAt, answeredAt: now(), code, message };
    this.#journal.write({ fact: 'refused', what, id, call });
  }
}
