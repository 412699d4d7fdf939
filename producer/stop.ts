import { FleetError } from '../shared/errors.js';
import { checkItem } from '../shared/keys.js';
import { MAX_REASON_LENGTH, MAX_STOP_WAIT_MS } from '../shared/limits.js';
import type { Entry } from '../shared/registry/registry.js';
import { type StopAnswer, type StopReceipt, receiptOf, receiptOfAnswer } from '../shared/stop/receipt.js';
import type { StopRequest } from '../shared/stop/stopper.js';
import type { Store } from '../shared/store.js';
import type { TaskView } from '../shared/task/view.js';
import type { Carrier } from '../shared/tracing/carrier.js';
import type { StopStart, Telemetry } from '../shared/tracing/telemetry.js';
import { checkWhole } from './enqueue/prepare.js';
import type { EarlyWait } from './wait/early-wait.js';
import type { OpenStop, Settlement, StopReplicas } from './wait/settlement.js';

export interface StopOptions {
  /** Why; stored with the task and passed to its handler. At most 500 characters. Default: none. */
  readonly reason?: string | undefined;
  /** Who; stored with the task. At most 500 characters. Default: none. */
  readonly by?: string | undefined;
  /** How long to wait for running tasks to end, in ms. Default 0: their receipts then say `requested`. At most an hour. */
  readonly waitMs?: number | undefined;
}

export interface StopTasksOptions extends StopOptions {
  /**
   * Called with each task, or null if there is none, before any stop is recorded, for callers with limited access: if it throws,
   * no task is stopped. Default: none.
   */
  readonly authorize?: ((task: TaskView | null) => void) | undefined;
}

export interface StopItemOptions extends StopOptions {
  /** Return the tasks that would be stopped, without stopping them. Default false. */
  readonly dryRun?: boolean | undefined;
}

/** Stops tasks and waits until they end. */
export class TaskStop {
  constructor(
    private readonly store: Store,
    private readonly settlement: Settlement,
    private readonly replicas: StopReplicas,
    /** Null for none. */
    private readonly telemetry: Telemetry | null,
  ) {}

  /** Returns one receipt for each id, in the same order. */
  stop(ids: readonly string[], options: StopTasksOptions): Promise<StopReceipt[]> {
    return this.#traced({ ids, item: null }, checkOptions(options, this.store.clock.now()), (asked) => this.#stop(ids, asked, options));
  }

  async #stop(ids: readonly string[], asked: Asked, { authorize }: StopTasksOptions): Promise<StopReceipt[]> {
    const entries = authorize ? await this.#authorized(ids, authorize) : null;
    const receipts = await this.#waited(asked, async (request) => {
      const answers = await this.store.stopper.request(ids, request, entries);
      return new Map(ids.map((id) => [id, answers.get(id) as StopAnswer]));
    });
    return ids.map((id) => receipts.get(id) as StopReceipt);
  }

  /** Reads the tasks and checks each of them. Returns their entries, so that the stop need not look them up again. */
  async #authorized(ids: readonly string[], authorize: (task: TaskView | null) => void): Promise<Map<string, Entry | null>> {
    const tasks = await this.store.reader.read(ids);
    return new Map(
      ids.map((id) => {
        const task = tasks.get(id) ?? null;
        authorize(task);
        return [id, task && entryOf(task)];
      }),
    );
  }

  /** Returns one receipt for each live task of the item and for each of their child tasks. */
  async stopItem(given: string, options: StopItemOptions): Promise<StopReceipt[]> {
    const checked = checkOptions(options, this.store.clock.now());
    const item = checkItem(given);
    if (options.dryRun) return this.#dryRun(item);
    return this.#traced({ ids: null, item }, checked, async (asked) => {
      const receipts = await this.#waited(asked, (request) => this.store.stopper.requestItem(item, request));
      return [...receipts.values()];
    });
  }

  /** Requests stops, and waits for their ends if asked to: the wait begins before the stops are recorded. */
  async #waited(asked: Asked, request: (request: StopRequest) => Promise<Map<string, StopAnswer>>): Promise<Map<string, StopReceipt>> {
    const early = asked.waitMs > 0 ? this.settlement.early() : null;
    try {
      const answers = await this.replicas.confirmed(asked, () => request({ ...asked, ...(early && { onLocated: early.start }) }));
      return await this.#receipts(answers, asked, early);
    } finally {
      early?.close();
    }
  }

  /** Runs a stop in its span, if there is telemetry. */
  #traced(tasks: Pick<StopStart, 'ids' | 'item'>, asked: Asked, work: (asked: Asked) => Promise<StopReceipt[]>): Promise<StopReceipt[]> {
    const { reason, by } = asked;
    if (this.telemetry === null) return work(asked);
    return this.telemetry.stop({ ...tasks, reason, by }, (carrier) => work({ ...asked, carrier }));
  }

  async #dryRun(item: string): Promise<StopReceipt[]> {
    const ids = [...(await this.store.registry.findItem(item)).keys()];
    const tasks = await this.store.reader.read(ids);
    return ids.flatMap((id) => (tasks.has(id) ? [receiptOf(id, tasks.get(id) ?? null)] : []));
  }

  async #receipts(
    answers: ReadonlyMap<string, StopAnswer>,
    asked: Asked,
    early: EarlyWait | null = null,
  ): Promise<Map<string, StopReceipt>> {
    const open: OpenStop[] = [];
    const foreign: string[] = [];
    for (const [id, answer] of answers) {
      if (answer.kind === 'recorded') open.push({ id, queue: answer.queue, stop: answer.stop });
      else if (answer.kind === 'foreign' && answer.goneAt === null) foreign.push(id);
    }
    const waits = asked.waitMs > 0;
    const [settled, gone] = await Promise.all([
      waits ? this.settlement.untilSettled(open, asked.deadline, early) : new Map<string, StopReceipt>(),
      waits && foreign.length > 0 ? this.#untilGone(foreign, asked) : new Map<string, StopReceipt>(),
    ]);
    return new Map([...answers].map(([id, answer]) => [id, settled.get(id) ?? gone.get(id) ?? receiptOfAnswer(id, answer, asked)]));
  }

  /** Waits for tasks of other programs. Returns the receipts of those that are gone, and of those that turned out to be ours. */
  async #untilGone(ids: readonly string[], asked: Asked): Promise<Map<string, StopReceipt>> {
    const { gone, ours } = await this.store.stopper.untilGone(ids, asked.deadline);
    const receipts = new Map([...gone].map(([id, goneAt]) => [id, receiptOfAnswer(id, { kind: 'foreign', goneAt }, asked)]));
    if (ours.length === 0) return receipts;
    const answers = await this.replicas.confirmed(asked, () => this.store.stopper.request(ours, asked));
    for (const [id, receipt] of await this.#receipts(answers, asked)) receipts.set(id, receipt);
    return receipts;
  }
}

/** Returns the registry entry of a task that was just read: the queue for our own, the item for a foreign one. */
function entryOf({ id, queue, item, problem }: TaskView): Entry {
  if (queue !== null) return { id, item: null, queue };
  return { id, item, queue, ...(problem !== null && { problem }) };
}

interface Asked {
  readonly reason: string | null;
  readonly by: string | null;
  readonly at: Date;
  readonly waitMs: number;
  /** A time of performance.now. */
  readonly deadline: number;
  /** The context of the request's span. */
  readonly carrier?: Carrier | undefined;
}

function checkOptions({ reason, by, waitMs: wait }: StopOptions, now: number): Asked {
  const waitMs = checkWhole('waitMs', wait, MAX_STOP_WAIT_MS);
  return { reason: checkText('reason', reason), by: checkText('by', by), at: new Date(now), waitMs, deadline: performance.now() + waitMs };
}

function checkText(name: string, text: string | undefined): string | null {
  if (text === undefined || text === '') return null;
  if (typeof text === 'string' && text.length <= MAX_REASON_LENGTH) return text;
  const got = typeof text === 'string' ? `${text.length} characters` : typeof text;
  throw new FleetError('INVALID_OPTION', `Bad ${name}: expected text of at most ${MAX_REASON_LENGTH} characters, got ${got}.`, {
    details: { field: name },
  });
}
