import { groupBy } from '../../shared/groups.js';
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
import { readLastState } from '../../shared/task/event-stream.js';
import { isTerminal } from '../../shared/task/state.js';
import type { TaskView } from '../../shared/task/view.js';
import { EarlyWait } from './early-wait.js';
import type { Wait, Waiter } from './waiter.js';

/** Makes stops wait for replicas (STOP_WAIT_REPLICAS). */
export class StopReplicas {
  constructor(private readonly replicas: Replicas) {}

  /**
   * Requests stops and waits until replicas have every recorded or settled one. Stops of foreign tasks are not stored in Redis, and
   * ended tasks need no stop, so neither waits.
   * @throws FleetError `NOT_REPLICATED` with the receipts
   */
  async confirmed(asked: Omit<StopRecord, 'via'>, request: () => Promise<Map<string, StopAnswer>>): Promise<Map<string, StopAnswer>> {
    const written = this.replicas.begin();
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
    const written = this.replicas.begin();
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

/** Without a notification for this time, tasks are checked again: an owner may have died, or a notification may be lost. */
const RECHECK_MS = 1_000;

/** Waits for stopped tasks to end, and settles those whose owner has died. */
export class Settlement {
  constructor(
    private readonly store: Store,
    private readonly waiter: Waiter,
    private readonly replicas: StopReplicas,
  ) {}

  /** Makes a wait that starts with the records of the stops. */
  early(): EarlyWait {
    return new EarlyWait(this.waiter, this.store.redis);
  }

  /**
   * Returns the receipts of tasks that ended before `deadline` (performance.now), by id.
   * @param early a wait that started with the records of the stops; null for none
   */
  async untilSettled(open: readonly OpenStop[], deadline: number, early: EarlyWait | null): Promise<Map<string, StopReceipt>> {
    const pending = new Map(open.map((one) => [one.id, one]));
    const settled = new Map<string, StopReceipt>();
    if (pending.size === 0) return settled;
    const begun = (await early?.take(open)) ?? null;
    const wait = begun ?? (await this.waiter.start(open));
    // Tasks may have ended before the wait began.
    if (begun === null) for (const id of pending.keys()) wait.touched.add(id);
    try {
      for (;;) {
        const read = [...wait.touched].filter((id) => pending.has(id));
        wait.touched.clear();
        for (const [id, receipt] of await this.waiter.retried(() => this.#confirmed(read, pending, wait))) {
          settled.set(id, receipt);
          pending.delete(id);
        }
        const left = deadline - performance.now();
        if (pending.size === 0 || left <= 0) return settled;
        if (await wait.next(Math.min(left, RECHECK_MS))) continue;
        await this.waiter.retried(() => this.store.stopper.recheck([...pending.keys()]));
        for (const id of pending.keys()) wait.touched.add(id);
      }
    } finally {
      wait.close();
    }
  }

  #confirmed(ids: readonly string[], pending: ReadonlyMap<string, OpenStop>, wait: Wait): Promise<Map<string, StopReceipt>> {
    return this.replicas.settled(
      (id) => (pending.get(id) as OpenStop).queue,
      () => this.#read(ids, pending, wait),
    );
  }

  async #read(ids: readonly string[], pending: ReadonlyMap<string, OpenStop>, wait: Wait): Promise<Map<string, StopReceipt>> {
    const settled = new Map<string, StopReceipt>();
    for (const id of ids) {
      const run = wait.settledRun(id);
      if (run === null) continue;
      const { via, settledAt } = run;
      const stop = { ...(pending.get(id) as OpenStop).stop, via };
      settled.set(id, createReceipt({ id, outcome: 'cancelled', endedAs: 'cancelled', stop, settledAt }));
    }
    const untold = ids.filter((id) => !settled.has(id));
    if (untold.length === 0) return settled;
    const tasks = await this.#tasksOf(untold, pending);
    for (const id of untold) {
      const task = tasks.get(id);
      if (task && isTerminal(task.state)) settled.set(id, receiptOf(id, task));
      if (task) continue;
      const gone = await this.#gone(pending.get(id) as OpenStop, wait);
      if (gone) settled.set(id, gone);
    }
    return settled;
  }

  /** Reads tasks on their queues, and looks up those that are not there. */
  async #tasksOf(ids: readonly string[], pending: ReadonlyMap<string, OpenStop>): Promise<Map<string, TaskView>> {
    const { reader } = this.store;
    const byQueue = groupBy(ids, (id) => (pending.get(id) as OpenStop).queue);
    const tasks = await reader.readLocated({ byQueue, foreign: new Map(), unreadable: new Map() });
    const missing = ids.filter((id) => !tasks.has(id));
    if (missing.length === 0) return tasks;
    return new Map([...tasks, ...(await reader.read(missing))]);
  }

  /** Returns the receipt of a task that is no longer stored; null if its job does not exist yet. */
  async #gone({ id, queue, stop }: OpenStop, wait: Wait): Promise<StopReceipt | null> {
    const how = await wait.departureOf(queue, id);
    if (how === null) return null;
    if (how !== 'removed' && how.event === 'completed') {
      const last = await readLastState(this.store.redis, this.store.keys.events(id));
      return createReceipt({ id, outcome: 'finished', endedAs: last === 'skipped' ? 'skipped' : 'completed', stop });
    }
    return createReceipt({ id, outcome: 'cancelled', endedAs: 'cancelled', stop, settledAt: new Date(this.store.clock.now()) });
  }
}
