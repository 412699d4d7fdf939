import type { Producer } from '../../../../producer/index.js';
import { isFleetError } from '../../../../shared/errors.js';
import type { EndLog } from '../audit/end-log.js';
import type { HandlerLog } from '../audit/handler-log.js';
import type { History } from '../audit/history.js';
import { FULL } from '../size.js';
import { now, within } from './clock.js';
import { type LoadKind, loadTask } from './load-task.js';

export interface LoadOptions {
  /** Tasks enqueued at once before the fault. */
  readonly backlog: number;
  /** Enqueues per second after that. */
  readonly perSecond: number;
  /** Stops per second. */
  readonly stopsPerSecond: number;
  /** The longest run time of a `run` in ms. */
  readonly longestMs: number;
  /** Concurrent tasks that run until they are stopped. */
  readonly holds: number;
  /** The load enqueues nothing while more tasks are unfinished, so that it does not outrun a slow machine. */
  readonly mostUnfinished: number;
}

const TURN_MS = 20;
/** The limit of unanswered calls per client. */
const OPEN_AT_ONCE = 500;
const STOP_WAIT_MS = 60_000;
/** Longer than the latency of a stop found by polling, grace included. */
const UNDONE_AFTER_MS = FULL ? 8_000 : 2_000;
/** A handler silent for longer belongs to an ended process. */
const ALIVE_MS = 1_000;
const LAST_STOPS_MS = 120_000;
const ITEMS = 50;
/** The cycle of tasks: one ignores its signal, three are retried, one fails, one runs in a thread. */
const MIX: readonly LoadKind[] = ['deaf', 'retry', 'retry', 'retry', 'fail', 'spin', ...Array.from({ length: 34 }, () => 'run' as const)];
/** A client waits for the end of every nth task. */
const WAITED_FOR = 20;

/** Enqueues and stops tasks until ended, and keeps the answers in a history. */
export class Load {
  readonly #producer: Producer;
  readonly #history: History;
  readonly #log: HandlerLog;
  readonly #ends: EndLog;
  readonly #options: LoadOptions;
  readonly #open = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | null = null;
  #count = 0;
  #stopCount = 0;
  #pendingHolds = 0;
  #ended = false;

  constructor(producer: Producer, history: History, log: HandlerLog, ends: EndLog, options: LoadOptions) {
    this.#producer = producer;
    this.#history = history;
    this.#log = log;
    this.#ends = ends;
    this.#options = options;
  }

  /** Enqueues the backlog, resolves when all of it is acknowledged, then goes on in the background. */
  async start(): Promise<void> {
    const { backlog, perSecond, stopsPerSecond } = this.#options;
    await Promise.all(Array.from({ length: backlog }, () => this.#enqueue()));
    const startedAt = now();
    let [enqueued, stopped] = [0, 0];
    this.#timer = setInterval(() => {
      const seconds = (now() - startedAt) / 1_000;
      for (; enqueued < seconds * perSecond; enqueued += 1) if (this.#hasRoom()) this.#keep(this.#enqueue());
      for (; stopped < seconds * stopsPerSecond; stopped += 1) if (this.#open.size < OPEN_AT_ONCE) this.#keep(this.#stopOne());
    }, TURN_MS);
  }

  /** Adds one task. */
  enqueue(kind: LoadKind, ms: number): Promise<string | null> {
    return this.#add(kind, ms);
  }

  /** Stops one task; repeats until the stop is acknowledged. */
  async stopSurely(id: string, limitMs = LAST_STOPS_MS): Promise<void> {
    this.#history.asked.add(id);
    await within(
      `an answer to the stop of ${id}`,
      limitMs,
      () => this.#stop([id], STOP_WAIT_MS),
      (answered) => answered,
    );
  }

  /** Makes no further calls. */
  halt(): void {
    this.#ended = true;
    if (this.#timer) clearInterval(this.#timer);
  }

  /** Ends the enqueues, stops the endless tasks, and resolves when every call is answered. */
  async end(): Promise<void> {
    this.halt();
    while (this.#open.size > 0) await Promise.all(this.#open);
    const holds = [...this.#history.enqueued.values()].filter(({ id, kind }) => kind === 'hold' && !this.#hasLanded(id));
    await Promise.all(holds.map(({ id }) => this.stopSurely(id)));
  }

  /** Returns the unacknowledged endless tasks, known from the notes of their handlers only. */
  async stopUnacknowledged(): Promise<void> {
    const runs = this.#log
      .refresh()
      .at(now())
      .filter(({ id, lastAt }) => !this.#history.enqueued.has(id) && !this.#history.asked.has(id) && now() - lastAt < ALIVE_MS);
    await Promise.all(runs.filter(({ beganAt }) => now() - beganAt > UNDONE_AFTER_MS).map(({ id }) => this.stopSurely(id)));
  }

  /** Stops endless tasks that are running despite an earlier stop. */
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

  #hasRoom(): boolean {
    const unfinished = this.#history.enqueued.size - this.#ends.ends.size;
    return this.#open.size < OPEN_AT_ONCE && unfinished < this.#options.mostUnfinished;
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

  /** Returns null if the enqueue was rejected. */
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

  /** An interrupted wait says nothing about the task. */
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

  /** Stops in turn an endless task, another task, or all tasks of an item. Half of the stops wait for the end. */
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

  /** Returns whether the call was answered. */
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
