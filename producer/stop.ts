import { FleetError, isFleetError } from '../shared/errors.js';
import { checkItem } from '../shared/keys.js';
import type { Registry } from '../shared/registry/registry.js';
import { type StopReceipt, receiptOf } from '../shared/stop/receipt.js';
import { type StopRecord } from '../shared/stop/record.js';
import type { StopResult, Stopper } from '../shared/stop/stopper.js';
import type { TaskReader } from '../shared/task/task-reader.js';
import type { TaskView } from '../shared/task/view.js';
import { checkWhole } from './prepare.js';
import type { Watch } from './watch.js';

export interface StopOptions {
  /** Why; kept with the task and shown to its handler. At most 500 characters. */
  readonly reason?: string | undefined;
  /** Who; kept with the task. At most 500 characters. */
  readonly by?: string | undefined;
  /** How long to wait for the end of what was running, in ms. Default 0: the receipts then say `requested`. At most an hour. */
  readonly waitMs?: number | undefined;
}

export interface StopItemOptions extends StopOptions {
  /** Say which tasks would be stopped, and stop none. Default false. */
  readonly dryRun?: boolean | undefined;
}

const MAX_WAIT_MS = 3_600_000;
const MAX_TEXT_LENGTH = 500;

/** Stops tasks and waits for their end. */
export class TaskStop {
  readonly #stopper: Stopper;
  readonly #reader: TaskReader;
  readonly #registry: Registry;
  readonly #watch: Watch;

  constructor(stopper: Stopper, reader: TaskReader, registry: Registry, watch: Watch) {
    this.#stopper = stopper;
    this.#reader = reader;
    this.#registry = registry;
    this.#watch = watch;
  }

  /** One receipt for each id, in their order. */
  async stop(ids: readonly string[], options: StopOptions): Promise<StopReceipt[]> {
    const { reason, by } = options;
    const waitMs = checkWhole('waitMs', options.waitMs, MAX_WAIT_MS);
    const deadline = performance.now() + waitMs;
    const requestedAt = new Date();
    const results = await this.#stopper.request(ids, { reason: checkText('reason', reason), by: checkText('by', by) });
    const open = [...results].flatMap(([id, result]) => (waitMs > 0 && isOpen(result) ? [id] : []));
    const waited = new Map(await Promise.all(open.map(async (id) => [id, await this.#untilEnded(id, deadline)] as const)));
    const tasks = await this.#reader.read([...results.keys()]);
    const asked: StopRecord = { reason: reason ?? null, by: by ?? null, at: requestedAt, via: null };
    return ids.map((id) => receiptFor(id, results.get(id) ?? 'not_found', tasks.get(id) ?? waited.get(id) ?? null, asked));
  }

  async stopItem(item: string, options: StopItemOptions): Promise<StopReceipt[]> {
    const ids = await this.#registry.idsOf(checkItem(item));
    if (!options.dryRun) return this.stop(ids, options);
    const tasks = await this.#reader.read(ids);
    return ids.flatMap((id) => (tasks.has(id) ? [receiptOf(id, tasks.get(id) ?? null)] : []));
  }

  /** The task at its end or at the deadline; null if it is gone. */
  async #untilEnded(id: string, deadline: number): Promise<TaskView | null> {
    try {
      return await this.#watch.untilEnded(id, { timeoutMs: Math.max(0, deadline - performance.now()) });
    } catch (error) {
      if (isFleetError(error, 'TASK_NOT_FOUND')) return null;
      throw error;
    }
  }
}

function isOpen(result: StopResult): boolean {
  return result === 'recorded' || result === 'foreign';
}

function receiptFor(id: string, result: StopResult, task: TaskView | null, asked: StopRecord): StopReceipt {
  // Without a task to look at (it is not kept, or belongs to another program) the result of the request is all there is.
  if (task !== null && task.queue !== null) return receiptOf(id, task);
  const known = { ...receiptOf(id, null), reason: asked.reason, by: asked.by, requestedAt: asked.at };
  switch (result) {
    case 'settled':
      return { ...known, outcome: 'cancelled', endedAs: 'cancelled', via: 'queue', settledAt: asked.at, latencyMs: 0 };
    case 'recorded':
    case 'foreign':
      return { ...known, outcome: 'requested' };
    case 'finished':
      return { ...known, outcome: 'finished' };
    case 'not_found':
      return receiptOf(id, null);
  }
}

function checkText(name: string, text: string | undefined): string | null {
  if (text === undefined || text === '') return null;
  if (typeof text === 'string' && text.length <= MAX_TEXT_LENGTH) return text;
  const got = typeof text === 'string' ? `${text.length} characters` : typeof text;
  throw new FleetError('INVALID_OPTION', `Bad ${name}: expected text of at most ${MAX_TEXT_LENGTH} characters, got ${got}.`, { details: { field: name } });
}
