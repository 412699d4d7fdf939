import type { Producer } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { now, within } from './clock.js';
import type { HandlerLog } from './handler-log.js';
import type { History } from './history.js';
import { type LoadKind, loadTask } from './load-task.js';
import { FULL } from './size.js';

export interface LoadOptions {
  /** Enqueued before the fault, all at once. */
  readonly backlog: number;
  /** Enqueues a second from then on. */
  readonly perSecond: number;
  /** Stops a second. */
  readonly stopsPerSecond: number;
  /** How long a `run` works, at most, in ms. */
  readonly longestMs: number;
  /** Tasks that run until they are stopped, alive at once. */
  readonly holds: number;
}

const TURN_MS = 20;
/** A client that has so many calls without an answer makes no more. */
const OPEN_AT_ONCE = 500;
const STOP_WAIT_MS = 60_000;
/** Longer than a stop takes that is found by polling, and its grace. */
const UNDONE_AFTER_MS = FULL ? 8_000 : 2_000;
/** A handler that has not ticked for so long belongs to a process that has ended. */
const ALIVE_MS = 1_000;
const LAST_STOPS_MS = 120_000;
const ITEMS = 50;
/** Of this many tasks: one that does not heed its signal, three that are retried, one that fails, one in a thread. */
const MIX: readonly LoadKind[] = ['deaf', 'retry', 'retry', 'retry', 'fail', 'spin', ...Array.from({ length: 34 }, () => 'run' as const)];
/** One of so many tasks has somebody who waits for its end. */
const WAITED_FOR = 20;

/** Enqueues and stops tasks until it is ended, and keeps what it was told in a history. */
export class Load {
  readonly #producer: Producer;
  readonly #history: History;
  readonly #log: HandlerLog;
  readonly #options: LoadOptions;
  readonly #open = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | null = null;
  #count = 0;
  #stopCount = 0;
  #pendingHolds = 0;
  #ended = false;

  constructor(producer: Producer, history: History, log: HandlerLog, options: LoadOptions) {
    this.#producer = producer;
    this.#history = history;
    this.#log = log;
    this.#options = options;
  }

  /** Enqueues the backlog, and resolves when all of it is acknowledged; goes on by itself then. */
  async start(): Promise<void> {
    const { backlog, perSecond, stopsPerSecond } = this.#options;
    await Promise.all(Array.from({ length: backlog }, () => this.#enqueue()));
    const startedAt = now();
    let [enqueued, stopped] = [0, 0];
    this.#timer = setInterval(() => {
      const seconds = (now() - startedAt) / 1_000;
      for (; enqueued < seconds * perSecond; enqueued += 1) if (this.#open.size < OPEN_AT_ONCE) this.#keep(this.#enqueue());
      for (; stopped < seconds * stopsPerSecond; stopped += 1) if (this.#open.size < OPEN_AT_ONCE) this.#keep(this.#stopOne());
    }, TURN_MS);
  }

  /** Adds one task, now. */
  enqueue(kind: LoadKind, ms: number): Promise<string | null> {
    return this.#add(kind, ms);
  }

  /** Stops one task, now; again and again until that is acknowledged. */
  async stopSurely(id: string, limitMs = LAST_STOPS_MS): Promise<void> {
    this.#history.asked.add(id);
    await within(
      `an answer to the stop of ${id}`,
      limitMs,
      () => this.#stop([id], STOP_WAIT_MS),
      (answered) => answered,
    );
  }

  /** Begins nothing more. */
  halt(): void {
    this.#ended = true;
    if (this.#timer) clearInterval(this.#timer);
  }

  /** Enqueues no more, stops what would run for ever, and resolves when every call has its answer. */
  async end(): Promise<void> {
    this.halt();
    while (this.#open.size > 0) await Promise.all(this.#open);
    const holds = [...this.#history.enqueued.values()].filter(({ id, kind }) => kind === 'hold' && !this.#hasLanded(id));
    await Promise.all(holds.map(({ id }) => this.stopSurely(id)));
  }

  /** Tasks that run until they are stopped and were never acknowledged: only their ids' handlers tell of them. */
  async stopUnacknowledged(): Promise<void> {
    const runs = this.#log
      .refresh()
      .at(now())
      .filter(({ id, lastAt }) => !this.#history.enqueued.has(id) && !this.#history.asked.has(id) && now() - lastAt < ALIVE_MS);
    await Promise.all(runs.filter(({ beganAt }) => now() - beganAt > UNDONE_AFTER_MS).map(({ id }) => this.stopSurely(id)));
  }

  /** Stops once more what runs for ever although it was stopped. */
  async stopAgain(): Promise<void> {
    const undone = this.#log
      .refresh()
      .at(now())
      .filter(
        ({ id, beganAt }) => this.#history.enqueued.get(id)?.kind === 'hold' && now() - beganAt > UNDONE_AFTER_MS && this.#hasLanded(id),
      );
    for (const { id } of undone) this.#history.undoneStops.add(id);
    await Promise.all(undone.map(({ id }) => this.#stop([id], STOP_WAIT_MS)));
  }

  #keep(work: Promise<unknown>): void {
    const kept = work.then(() => void this.#open.delete(kept));
    this.#open.add(kept);
  }

  async #enqueue(): Promise<void> {
    const number = (this.#count += 1);
    const isHold = this.#pendingHolds + this.#liveHolds() < this.#options.holds;
    const kind = isHold ? 'hold' : (MIX[number % MIX.length] as LoadKind);
    const ms = kind === 'spin' ? 50 : Math.round((this.#options.longestMs * ((number * 7) % 20)) / 20);
    if (isHold) this.#pendingHolds += 1;
    await this.#add(kind, ms);
    if (isHold) this.#pendingHolds -= 1;
  }

  /** Null if it was refused. */
  async #add(kind: LoadKind, ms: number): Promise<string | null> {
    const number = this.#count;
    const item = number % 3 === 0 ? null : `chat-${number % ITEMS}`;
    const askedAt = now();
    try {
      const { id } = await this.#producer.enqueue(loadTask, { kind, ms }, item === null ? {} : { item });
      this.#history.acknowledged({ id, kind, item, askedAt });
      if (number % WAITED_FOR === 0 && kind !== 'hold') void this.#waitFor(id);
      return id;
    } catch (error) {
      this.#history.refused('enqueue', askedAt, error);
      return null;
    }
  }

  /** A wait that breaks off says nothing of the task. */
  async #waitFor(id: string): Promise<void> {
    try {
      const { state } = await this.#producer.waitUntilFinished(id);
      this.#history.ended(id, state as 'completed' | 'failed');
    } catch (error) {
      if (isFleetError(error, 'TASK_CANCELLED')) this.#history.ended(id, 'cancelled');
    }
  }

  #liveHolds(): number {
    let live = 0;
    for (const { id, kind } of this.#history.enqueued.values()) if (kind === 'hold' && !this.#history.asked.has(id)) live += 1;
    return live;
  }

  /** In turn: one that holds, any other, all of an item. Half of them wait for the end. */
  async #stopOne(): Promise<void> {
    const number = (this.#stopCount += 1);
    const waitMs = number % 2 === 0 ? STOP_WAIT_MS : 0;
    if (number % 10 === 0) return this.#stopItem(`chat-${number % ITEMS}`, waitMs);
    const candidates = [...this.#history.enqueued.values()].filter(
      ({ id, kind }) => (kind === 'hold') === (number % 3 !== 0) && !this.#history.asked.has(id),
    );
    const victim = candidates[(number * 13) % Math.max(1, candidates.length)];
    if (!victim) return;
    this.#history.asked.add(victim.id);
    await this.#stop([victim.id], waitMs);
  }

  /** Whether it was answered. */
  async #stop(ids: readonly string[], waitMs: number): Promise<boolean> {
    const askedAt = now();
    try {
      this.#history.stopped(askedAt, await this.#producer.stop(ids, { by: 'load', waitMs: this.#ended ? Math.max(waitMs, 1) : waitMs }));
      return true;
    } catch (error) {
      this.#history.refused('stop', askedAt, error);
      return false;
    }
  }

  async #stopItem(item: string, waitMs: number): Promise<void> {
    const askedAt = now();
    this.#history.askedItems.add(item);
    try {
      const receipts = await this.#producer.stopItem(item, { by: 'load', waitMs });
      for (const { id } of receipts) this.#history.asked.add(id);
      this.#history.stopped(askedAt, receipts);
    } catch (error) {
      this.#history.refused('stop', askedAt, error);
    }
  }

  #hasLanded(id: string): boolean {
    return this.#history.receiptsOf(id).some(({ receipt }) => receipt.outcome === 'cancelled' || receipt.outcome === 'requested');
  }
}
