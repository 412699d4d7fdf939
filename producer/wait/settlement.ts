import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { isUnavailability } from '../../shared/redis/connection-errors.js';
import { type Replicas, notReplicated } from '../../shared/redis/replicas.js';
import {
  type StopAnswer,
  type StopReceipt,
  type StopRecord,
  createReceipt,
  queuesOf,
  receiptOf,
  receiptOfAnswer,
  receiptToJson,
} from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import { isTerminal } from '../../shared/task/state.js';
import type { JobEvents } from './events.js';
import { Notice } from './stream-reader.js';

/** Makes stops wait for replicas (STOP_WAIT_REPLICAS). */
export class StopReplicas {
  readonly #replicas: Replicas;

  constructor(replicas: Replicas) {
    this.#replicas = replicas;
  }

  /**
   * Requests stops and waits until replicas have every recorded or settled one. Stops of foreign tasks are not stored in Redis, and
   * ended tasks need no stop, so neither waits.
   * @throws FleetError `NOT_REPLICATED` with the receipts
   */
  async confirmed(asked: Omit<StopRecord, 'via'>, request: () => Promise<Map<string, StopAnswer>>): Promise<Map<string, StopAnswer>> {
    const written = this.#replicas.begin();
    const answers = await request();
    const stopped = [...answers].flatMap(([id, { kind }]) => (kind === 'recorded' || kind === 'cancelled' ? [{ id }] : []));
    if (stopped.length === 0) return answers;
    const shortfall = await written.confirm(queuesOf(answers));
    if (shortfall === null) return answers;
    const receipts = [...answers].map(([id, answer]) => receiptOfAnswer(id, answer, asked));
    throw notReplicated(`${listOf(stopped)} ${stopped.length === 1 ? 'is' : 'are'} recorded`, shortfall, detailsOf(receipts));
  }

  /**
   * Returns the receipts that `read` finds settled, once replicas have the tasks' ends.
   * @throws FleetError `NOT_REPLICATED` with the receipts
   */
  async settled(queueOf: (id: string) => string, read: () => Promise<Map<string, StopReceipt>>): Promise<Map<string, StopReceipt>> {
    const written = this.#replicas.begin();
    const receipts = await read();
    const cancelled = [...receipts.values()].filter(({ outcome }) => outcome === 'cancelled');
    if (cancelled.length === 0) return receipts;
    const shortfall = await written.confirm([null, ...cancelled.map(({ id }) => queueOf(id))]);
    if (shortfall === null) return receipts;
    throw notReplicated(
      `${listOf(cancelled)} ${cancelled.length === 1 ? 'has' : 'have'} settled`,
      shortfall,
      detailsOf([...receipts.values()]),
    );
  }
}

const SHOWN = 5;

function listOf(stopped: readonly { readonly id: string }[]): string {
  if (stopped.length === 1) return `The stop of task ${stopped[0]?.id}`;
  const shown = stopped
    .slice(0, SHOWN)
    .map(({ id }) => id)
    .join(', ');
  return `The stops of tasks ${shown}${stopped.length > SHOWN ? ` and ${stopped.length - SHOWN} more` : ''}`;
}

function detailsOf(receipts: readonly StopReceipt[]): Readonly<Record<string, unknown>> {
  return { ids: receipts.map(({ id }) => id), receipts: receipts.map(receiptToJson) };
}

/** A recorded stop that is not settled yet. */
export interface OpenStop {
  readonly id: string;
  readonly queue: string;
  readonly stop: StopRecord;
}

/** The last event of a task that is no longer stored. */
type LastEvent = 'completed' | 'failed' | 'removed';

/** Without a notification for this time, tasks are checked again: an owner may have died, or a notification may be lost. */
const RECHECK_MS = 1_000;
const RETRY_MS = 10;

/** Waits for stopped tasks to end, by notification, and settles those whose owner has died. */
export class Settlement {
  readonly #store: Store;
  readonly #jobEvents: JobEvents;
  readonly #replicas: StopReplicas;
  readonly #reconnected: () => Promise<void>;
  readonly #waiting = new Set<Notice>();
  #closed = false;

  /** @param reconnected resolves when the connection is back, rejects when that takes too long */
  constructor(store: Store, jobEvents: JobEvents, replicas: StopReplicas, reconnected: () => Promise<void>) {
    this.#store = store;
    this.#jobEvents = jobEvents;
    this.#replicas = replicas;
    this.#reconnected = reconnected;
  }

  /** Ends every wait with `CLOSED`. */
  close(): void {
    this.#closed = true;
    for (const notice of this.#waiting) notice.raise();
  }

  /** Returns the receipts of tasks that ended before `deadline` (performance.now), by id. */
  async untilSettled(open: readonly OpenStop[], deadline: number): Promise<Map<string, StopReceipt>> {
    const pending = new Map(open.map((one) => [one.id, one]));
    const settled = new Map<string, StopReceipt>();
    if (pending.size === 0) return settled;
    const notice = new Notice();
    const touched = new Set(pending.keys());
    const last = new Map<string, LastEvent>();
    this.#waiting.add(notice);
    const ends = await Promise.all(
      open.map(({ id, queue }) =>
        this.#jobEvents.listen(queue, id, (event) => {
          if (event !== 'completed' && event !== 'failed' && event !== 'removed') return;
          if (event !== 'removed' || !last.has(id)) last.set(id, event);
          touched.add(id);
          notice.raise();
        }),
      ),
    );
    try {
      for (;;) {
        const read = [...touched].filter((id) => pending.has(id));
        touched.clear();
        for (const [id, receiptNow] of await this.#retried(() => this.#confirmed(read, pending, last))) {
          settled.set(id, receiptNow);
          pending.delete(id);
        }
        const left = deadline - performance.now();
        if (pending.size === 0 || left <= 0) return settled;
        if (touched.size > 0 || (await notice.wait(Math.min(left, RECHECK_MS)))) continue;
        await this.#retried(() => this.#store.stopper.recheck([...pending.keys()]));
        for (const id of pending.keys()) touched.add(id);
      }
    } finally {
      this.#waiting.delete(notice);
      for (const end of ends) end();
    }
  }

  #confirmed(
    ids: readonly string[],
    pending: ReadonlyMap<string, OpenStop>,
    last: ReadonlyMap<string, LastEvent>,
  ): Promise<Map<string, StopReceipt>> {
    return this.#replicas.settled(
      (id) => (pending.get(id) as OpenStop).queue,
      () => this.#read(ids, pending, last),
    );
  }

  async #read(
    ids: readonly string[],
    pending: ReadonlyMap<string, OpenStop>,
    last: ReadonlyMap<string, LastEvent>,
  ): Promise<Map<string, StopReceipt>> {
    const tasks = await this.#store.reader.read(ids);
    const settled = new Map<string, StopReceipt>();
    for (const id of ids) {
      const task = tasks.get(id);
      if (task && isTerminal(task.state)) settled.set(id, receiptOf(id, task));
      if (task) continue;
      const gone = await this.#gone(pending.get(id) as OpenStop, last.get(id));
      if (gone) settled.set(id, gone);
    }
    return settled;
  }

  /** Returns the receipt of a task that is no longer stored; null if its job does not exist yet. */
  async #gone({ id, queue, stop }: OpenStop, last: LastEvent | undefined): Promise<StopReceipt | null> {
    const how = last ?? (await this.#jobEvents.endOf(queue, id))?.event;
    if (how === undefined) return null;
    if (how === 'completed') return createReceipt({ id, outcome: 'finished', endedAs: 'completed', stop });
    return createReceipt({ id, outcome: 'cancelled', endedAs: 'cancelled', stop, settledAt: new Date(this.#store.clock.now()) });
  }

  /** Repeats a read after the connection is restored. */
  async #retried<Value>(ask: () => Promise<Value>): Promise<Value> {
    for (;;) {
      if (this.#closed) throw new FleetError('CLOSED', 'This producer was closed during the wait.');
      try {
        return await ask();
      } catch (error) {
        if (this.#closed || !(isUnavailability(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) throw error;
        // The client may not have noticed the loss yet; without a pause, this loop would starve the socket events.
        await sleep(RETRY_MS);
        await this.#reconnected();
      }
    }
  }
}
