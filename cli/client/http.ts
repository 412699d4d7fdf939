import type { Schedule } from '../../dashboard/api/routes/schedules.js';
import type {
  EnqueueOptions,
  EnqueuedTask,
  EventOptions,
  ListOptions,
  PlanList,
  StopItemOptions,
  StopOptions,
  StopReceipt,
  TaskEvent,
  TaskPage,
  TaskView,
  WaitOptions,
} from '../../producer/index.js';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { checkItem, checkKnownId } from '../../shared/keys.js';
import { chunks } from '../../shared/limits.js';
import { TaskCancelled, createReceipt, receiptOf } from '../../shared/stop/receipt.js';
import type { TaskDefinition } from '../../shared/task/definition.js';
import { isTerminal } from '../../shared/task/state.js';
import { usageError } from '../errors.js';
import type { FleetClient, ScheduleClient } from './client.js';
import { type ReceiptJson, type TaskJson, enqueuedOf, follow, receiptOfJson, scheduleOf, taskOf } from './follow.js';
import type { ApiConnection } from './http-connection.js';

/** The API's longest wait for one stop, in ms. */
const MAX_API_WAIT_MS = 60_000;
/** Maximum concurrent requests. */
const MAX_CONCURRENT = 50;

/** A fleet client over the HTTP API. The dashboard knows which tasks may be enqueued. */
export class ApiClient implements FleetClient {
  readonly schedules: ScheduleClient;

  /** @param maxApiWaitMs for tests: longest wait requested from the API */
  constructor(
    private readonly connection: ApiConnection,
    private readonly maxApiWaitMs = MAX_API_WAIT_MS,
  ) {
    this.schedules = {
      list: () => connection.ask('/schedules', ({ schedules }: { schedules: Schedule[] }) => schedules.map(scheduleOf)),
      runNow: (id) => connection.ask(`/schedules/${encodeURIComponent(id)}/run`, enqueuedOf, { method: 'POST', body: {} }),
      remove: (id) =>
        orFallback(
          'SCHEDULE_NOT_FOUND',
          false,
          connection.ask(`/schedules/${encodeURIComponent(id)}`, () => true, { method: 'DELETE' }),
        ),
    };
  }

  enqueue<Input, Output>(
    task: string | TaskDefinition<Input, Output, unknown>,
    input: Input,
    options: EnqueueOptions = {},
  ): Promise<EnqueuedTask<Output>> {
    const { item, id, delay, priority, deadline, onBusy } = options;
    const name = typeof task === 'string' ? task : task.name;
    const body = { name, input, item, id, delay, priority, deadline: deadline?.toISOString(), on_busy: onBusy };
    return this.connection.ask('/tasks', enqueuedOf, { method: 'POST', body }) as Promise<EnqueuedTask<Output>>;
  }

  async get(id: string): Promise<TaskView | null> {
    return orFallback('TASK_NOT_FOUND', null, this.connection.ask(pathOf(id), taskOf));
  }

  list({ item, state, name, queue, after, limit }: ListOptions): Promise<TaskPage> {
    const read = ({ tasks, next }: { tasks: TaskJson[]; next: string | null }): TaskPage => ({ tasks: tasks.map(taskOf), next });
    return this.connection.ask('/tasks', read, { query: { item, state, name, queue, after, limit } });
  }

  async stop(ids: readonly string[], { reason, waitMs = 0 }: StopOptions): Promise<StopReceipt[]> {
    ids.forEach(checkKnownId);
    const deadline = performance.now() + waitMs;
    const receipts: StopReceipt[] = [];
    for (const batch of chunks(ids, MAX_CONCURRENT))
      receipts.push(...(await Promise.all(batch.map((id) => this.#stopOne(id, reason, deadline)))));
    return receipts;
  }

  async stopItem(item: string, { reason, waitMs = 0, dryRun }: StopItemOptions): Promise<StopReceipt[]> {
    const path = `/items/${encodeURIComponent(checkItem(item))}/stop`;
    const deadline = performance.now() + waitMs;
    const wait = Math.min(waitMs, this.maxApiWaitMs);
    const read = ({ receipts }: { receipts: ReceiptJson[] }): StopReceipt[] => receipts.map(receiptOfJson);
    const receipts = await this.connection.ask(path, read, {
      method: 'POST',
      query: { wait_ms: wait },
      body: { reason, dry_run: dryRun },
      extraMs: wait,
    });
    return dryRun ? receipts : Promise.all(receipts.map((receipt) => this.#settled(receipt, deadline)));
  }

  /** Retries sequentially, tasks that the API will refuse first, so that, as with a producer, none is retried if one cannot be. */
  async retry(ids: readonly string[]): Promise<TaskView[]> {
    const found = new Map<string, TaskView | null>();
    for (const batch of chunks([...new Set(ids)], MAX_CONCURRENT))
      await Promise.all(batch.map(async (id) => found.set(id, await this.get(id))));
    const isRetryable = (id: string): boolean => ['failed', 'cancelled'].includes(found.get(id)?.state ?? '');
    const retried = new Map<string, TaskView>();
    for (const id of [...found.keys()].sort((a, b) => Number(isRetryable(a)) - Number(isRetryable(b)))) {
      retried.set(id, await this.connection.ask(`${pathOf(id)}/retry`, taskOf, { method: 'POST', body: {} }));
    }
    return ids.map((id) => retried.get(id) as TaskView);
  }

  /** Resolves with null for a task whose result is not retained. */
  async result<Output = unknown>(task: string | EnqueuedTask<Output>, { signal }: Pick<WaitOptions, 'signal'> = {}): Promise<Output> {
    const id = checkKnownId(typeof task === 'string' ? task : task.id);
    for await (const { event, task: end } of follow(this.connection, id, { signal })) {
      if (event.type !== 'state' || !isTerminal(event.state)) continue;
      if (event.state === 'completed') return (end?.result ?? null) as Output;
      if (event.state === 'cancelled') throw new TaskCancelled(event.receipt ?? receiptOf(id, end));
      throw new FleetError('TASK_FAILED', `Task ${id} failed: ${end?.error ?? 'no reason recorded'}`, { details: { id } });
    }
    throw new FleetError('TASK_NOT_FOUND', `Task ${id} has ended and is no longer stored.`, { details: { id } });
  }

  async *events(id: string, options: EventOptions = {}): AsyncGenerator<TaskEvent, void, undefined> {
    for await (const { event } of follow(this.connection, checkKnownId(id), options)) yield event;
  }

  plans(): Promise<PlanList> {
    return Promise.reject(usageError('The API does not list billing plans; use --redis.'));
  }

  async #stopOne(id: string, reason: string | undefined, deadline: number): Promise<StopReceipt> {
    const wait = Math.min(Math.max(0, Math.round(deadline - performance.now())), this.maxApiWaitMs);
    try {
      const receipt = await this.connection.ask(`${pathOf(id)}/stop`, receiptOfJson, {
        method: 'POST',
        query: { wait_ms: wait },
        body: { reason },
        extraMs: wait,
      });
      return await this.#settled(receipt, deadline);
    } catch (error) {
      if (isFleetError(error, 'TASK_NOT_FOUND')) return createReceipt({ id, outcome: 'not_found' });
      if (isFleetError(error, 'TASK_FINISHED') && error.details['receipt']) return receiptOfJson(error.details['receipt'] as ReceiptJson);
      throw error;
    }
  }

  /** Returns the receipt once the stop is settled, or unchanged at the deadline. Covers waits longer than the API's. */
  async #settled(receipt: StopReceipt, deadline: number): Promise<StopReceipt> {
    const left = Math.ceil(deadline - performance.now());
    if (receipt.outcome !== 'requested' || left <= 0) return receipt;
    const signal = AbortSignal.timeout(left);
    try {
      for await (const { event, task } of follow(this.connection, receipt.id, { signal })) {
        if (event.type === 'state' && isTerminal(event.state))
          return (
            event.receipt ??
            (task ? receiptOf(task.id, task) : createReceipt({ id: receipt.id, outcome: 'finished', endedAs: event.state }))
          );
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return receipt;
  }
}

function pathOf(id: string): string {
  return `/tasks/${encodeURIComponent(checkKnownId(id))}`;
}

async function orFallback<Value, Fallback>(
  code: 'TASK_NOT_FOUND' | 'SCHEDULE_NOT_FOUND',
  fallback: Fallback,
  work: Promise<Value>,
): Promise<Value | Fallback> {
  try {
    return await work;
  } catch (error) {
    if (isFleetError(error, code)) return fallback;
    throw error;
  }
}
