import type { TaskPage as TaskPageJson } from '../../client/index.js';
import type { Limit } from '../../dashboard/api/routes/limits.js';
import type { Schedule } from '../../dashboard/api/routes/schedules.js';
import type {
  BulkResult,
  DedupeOptions,
  EnqueueOptions,
  EnqueuedTask,
  EventOptions,
  LimitPage,
  ListOptions,
  LogLine,
  LogOptions,
  PlanList,
  StopItemOptions,
  StopOptions,
  StopReceipt,
  TaskCount,
  TaskEvent,
  TaskFilter,
  TaskPage,
  TaskView,
  WaitOptions,
} from '../../producer/index.js';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { checkItem, checkKnownId } from '../../shared/keys.js';
import { chunks } from '../../shared/limits.js';
import { TaskCancelled, createReceipt, receiptOf } from '../../shared/stop/receipt.js';
import type { TaskDefinition } from '../../shared/task/definition.js';
import { filterToJson } from '../../shared/task/filter/filter-json.js';
import { isTerminal } from '../../shared/task/state.js';
import { taskFailed, taskSkipped } from '../../shared/task/view.js';
import { usageError } from '../errors.js';
import { bulkOverApi } from './bulk.js';
import type { BulkCall, FleetClient, LimitClient, QueueClient, ScheduleClient, WorkerClient } from './client.js';
import { enqueuedOf, follow, limitOf, receiptOfJson, scheduleOf, taskOf } from './follow.js';
import type { ApiConnection } from './http-connection.js';
import { queuesOverApi } from './queues.js';
import { readLog } from './task-log.js';
import { workersOverApi } from './workers.js';

/** The API's longest wait for one stop, in ms. */
const MAX_API_WAIT_MS = 60_000;
/** Maximum concurrent requests. */
const MAX_CONCURRENT = 50;

/** A fleet client over the HTTP API. The dashboard knows which tasks may be enqueued. */
export class ApiClient implements FleetClient {
  readonly schedules: ScheduleClient;
  readonly limits: LimitClient;
  readonly queues: QueueClient;
  readonly workers: WorkerClient;

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
    this.queues = queuesOverApi(connection);
    this.workers = workersOverApi(connection);
    this.limits = {
      list: ({ name, after, limit }) => {
        const read = ({ limits, next }: { limits: Limit[]; next: string | null }): LimitPage => ({ limits: limits.map(limitOf), next });
        return connection.ask('/limits', read, { query: { name, after, limit } });
      },
      set: (name, key, limit) => connection.ask(limitPath(name, key), limitOf, { method: 'PUT', body: { limit } }),
      clear: (name, key) =>
        orFallback(
          'LIMIT_NOT_FOUND',
          false,
          connection.ask(limitPath(name, key), () => true, { method: 'DELETE' }),
        ),
    };
  }

  enqueue<Input, Output>(
    task: string | TaskDefinition<Input, Output, unknown>,
    input: Input,
    options: EnqueueOptions = {},
  ): Promise<EnqueuedTask<Output>> {
    const { item, tags, id, delay, priority, deadline, whenBusy, onBusy, dedupe } = options;
    const name = typeof task === 'string' ? task : task.name;
    const body = {
      name,
      input,
      item,
      tags,
      id,
      delay,
      priority,
      deadline: deadline?.toISOString(),
      when_busy: whenBusy,
      on_busy: onBusy,
      dedupe: dedupe && dedupeBody(dedupe),
    };
    return this.connection.ask('/tasks', enqueuedOf, { method: 'POST', body }) as Promise<EnqueuedTask<Output>>;
  }

  async get(id: string): Promise<TaskView | null> {
    return orFallback('TASK_NOT_FOUND', null, this.connection.ask(pathOf(id), taskOf));
  }

  list({ after, limit, ...filter }: ListOptions): Promise<TaskPage> {
    const read = ({ tasks, next, searched, reached }: TaskPageJson): TaskPage => ({
      ...{ tasks: tasks.map(taskOf), next, searched },
      reached: reached === null ? null : new Date(reached),
    });
    return this.connection.ask('/tasks', read, { query: { ...filterToJson(filter), after, limit } });
  }

  count(filter: TaskFilter): Promise<TaskCount> {
    const read = ({ count, complete }: TaskCount): TaskCount => ({ count, complete });
    return this.connection.ask('/tasks/count', read, { query: { ...filterToJson(filter) } });
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
    checkItem(item);
    const deadline = performance.now() + waitMs;
    const wait = Math.min(waitMs, this.maxApiWaitMs);
    const stopped = await this.connection.call((client) => client.stopItem(item, { reason, waitMs: wait, dryRun }), wait);
    const receipts = stopped.map(receiptOfJson);
    return dryRun ? receipts : Promise.all(receipts.map((receipt) => this.#settled(receipt, deadline)));
  }

  /** Retries sequentially, tasks that the API will refuse first, so that, as with a producer, none is retried if one cannot be. */
  async retry(ids: readonly string[]): Promise<TaskView[]> {
    const found = new Map<string, TaskView | null>();
    for (const batch of chunks([...new Set(ids)], MAX_CONCURRENT))
      await Promise.all(batch.map(async (id) => found.set(id, await this.get(id))));
    const isRetryable = (id: string): boolean => ['failed', 'cancelled', 'skipped'].includes(found.get(id)?.state ?? '');
    const retried = new Map<string, TaskView>();
    for (const id of [...found.keys()].sort((a, b) => Number(isRetryable(a)) - Number(isRetryable(b)))) {
      retried.set(id, await this.connection.ask(`${pathOf(id)}/retry`, taskOf, { method: 'POST', body: {} }));
    }
    return ids.map((id) => retried.get(id) as TaskView);
  }

  stopWhere(filter: TaskFilter, call: BulkCall & Pick<StopOptions, 'reason'>): Promise<BulkResult> {
    return bulkOverApi(this.connection, { action: 'stop', filter, reason: call.reason }, call);
  }

  retryWhere(filter: TaskFilter, call: BulkCall): Promise<BulkResult> {
    return bulkOverApi(this.connection, { action: 'retry', filter }, call);
  }

  /** Resolves with null for a task whose result is not retained. */
  async result<Output = unknown>(task: string | EnqueuedTask<Output>, { signal }: Pick<WaitOptions, 'signal'> = {}): Promise<Output> {
    const id = checkKnownId(typeof task === 'string' ? task : task.id);
    for await (const { event, task: end } of follow(this.connection, id, { signal })) {
      if (event.type !== 'state' || !isTerminal(event.state)) continue;
      if (event.state === 'completed') return (end?.result ?? null) as Output;
      if (event.state === 'skipped') throw taskSkipped({ id, skippedFor: end?.skippedFor ?? null });
      if (event.state === 'cancelled') throw new TaskCancelled(event.receipt ?? receiptOf(id, end));
      throw taskFailed(end ?? { id, attempt: event.attempt ?? 0, attempts: null, error: null });
    }
    throw new FleetError('TASK_NOT_FOUND', `Task ${id} has ended and is no longer stored.`, { details: { id } });
  }

  async *events(id: string, options: EventOptions = {}): AsyncGenerator<TaskEvent, void, undefined> {
    for await (const { event } of follow(this.connection, checkKnownId(id), options)) yield event;
  }

  logs(id: string, options?: LogOptions): AsyncGenerator<LogLine, void, undefined> {
    return readLog(this.connection, checkKnownId(id), options);
  }

  plans(): Promise<PlanList> {
    return Promise.reject(usageError('The API does not list billing plans; use --redis.'));
  }

  async #stopOne(id: string, reason: string | undefined, deadline: number): Promise<StopReceipt> {
    const wait = Math.min(Math.max(0, Math.round(deadline - performance.now())), this.maxApiWaitMs);
    const receipt = await this.connection.call((client) => client.stop(id, { reason, waitMs: wait }), wait);
    return this.#settled(receiptOfJson(receipt), deadline);
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

function dedupeBody({ key, mode, withinMs }: DedupeOptions): object {
  return { key, mode, within_ms: withinMs };
}

function limitPath(name: string, key: string | null): string {
  return `/limits/${encodeURIComponent(name)}${key === null ? '' : `/${encodeURIComponent(key)}`}`;
}

async function orFallback<Value, Fallback>(
  code: 'TASK_NOT_FOUND' | 'SCHEDULE_NOT_FOUND' | 'LIMIT_NOT_FOUND',
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
