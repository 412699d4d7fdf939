import { FleetError } from '../shared/errors.js';
import { checkItem } from '../shared/keys.js';
import { MAX_REASON_LENGTH, MAX_STOP_WAIT_MS } from '../shared/limits.js';
import type { Entry } from '../shared/registry/registry.js';
import { type StopAnswer, type StopReceipt, receiptOf, receiptOfAnswer } from '../shared/stop/receipt.js';
import type { Store } from '../shared/store.js';
import type { TaskView } from '../shared/task/view.js';
import { checkWhole } from './enqueue/prepare.js';
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
  ) {}

  /** Returns one receipt for each id, in the same order. */
  async stop(ids: readonly string[], options: StopTasksOptions): Promise<StopReceipt[]> {
    const asked = checkOptions(options, this.store.clock.now());
    const { authorize } = options;
    const entries = authorize ? await this.#authorized(ids, authorize) : null;
    const answers = await this.replicas.confirmed(asked, () => this.store.stopper.request(ids, asked, entries));
    const receipts = await this.#receipts(new Map(ids.map((id) => [id, answers.get(id) as StopAnswer])), asked);
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
  async stopItem(item: string, options: StopItemOptions): Promise<StopReceipt[]> {
    const asked = checkOptions(options, this.store.clock.now());
    if (options.dryRun) return this.#dryRun(checkItem(item));
    const answers = await this.replicas.confirmed(asked, () => this.store.stopper.requestItem(checkItem(item), asked));
    return [...(await this.#receipts(answers, asked)).values()];
  }

  async #dryRun(item: string): Promise<StopReceipt[]> {
    const ids = [...(await this.store.registry.findItem(item)).keys()];
    const tasks = await this.store.reader.read(ids);
    return ids.flatMap((id) => (tasks.has(id) ? [receiptOf(id, tasks.get(id) ?? null)] : []));
  }

  async #receipts(answers: ReadonlyMap<string, StopAnswer>, asked: Asked): Promise<Map<string, StopReceipt>> {
    const open: OpenStop[] = [];
    const foreign: string[] = [];
    for (const [id, answer] of answers) {
      if (answer.kind === 'recorded') open.push({ id, queue: answer.queue, stop: answer.stop });
      else if (answer.kind === 'foreign' && answer.goneAt === null) foreign.push(id);
    }
    const { waitMs, deadline } = asked;
    const waits = waitMs > 0;
    const [settled, gone] = await Promise.all([
      waits ? this.settlement.untilSettled(open, deadline) : new Map<string, StopReceipt>(),
      waits && foreign.length > 0 ? this.store.stopper.untilGone(foreign, deadline) : new Map<string, Date>(),
    ]);
    const now = (id: string, answer: StopAnswer): StopAnswer =>
      answer.kind === 'foreign' ? { ...answer, goneAt: answer.goneAt ?? gone.get(id) ?? null } : answer;
    return new Map([...answers].map(([id, answer]) => [id, settled.get(id) ?? receiptOfAnswer(id, now(id, answer), asked)]));
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
