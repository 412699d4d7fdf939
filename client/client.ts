import type { EnqueueBody, Enqueued, ListQuery, LogLine, Receipt, Task, TaskEvent, TaskFilter, TaskPage } from './bodies.js';
import { type CallOptions, type ClientOptions, Connection, type Method } from './connection.js';
import { TaskNotFoundError } from './error-classes.js';
import { TaskCancelledError, TaskFailedError, TaskSkippedError, WaitTimeoutError } from './errors.js';
import { type StreamMessage, type StreamOptions, messagesOf } from './event-source.js';
import { eventsOf, isEnd, pathOf } from './events.js';
import { type LogOptions, logsOf } from './logs.js';
import { type StopOptions, postStop, stopTask } from './stops.js';

/** An event id after all events: no history is sent. */
const NOW = '9999999999999999';

interface Signal {
  readonly signal?: AbortSignal | undefined;
}

/**
 * A client of the HTTP API of a fleet, for browsers and Node. Every call throws a {@link TaskfleetError}, of the class of its code, or the
 * reason of its signal.
 */
export class TaskfleetClient {
  readonly #connection: Connection;

  constructor(options: ClientOptions) {
    this.#connection = new Connection(options);
  }

  /** Enqueues a task. With a key, a call whose answer was lost can be repeated. */
  enqueue<Input = unknown>(
    task: EnqueueBody<Input>,
    options: Signal & { readonly idempotencyKey?: string | undefined } = {},
  ): Promise<Enqueued> {
    const { idempotencyKey: key, signal } = options;
    const headers = key === undefined ? {} : { 'Idempotency-Key': `"${key}"` };
    return this.#connection.request('POST', '/tasks', { body: task, headers, signal });
  }

  /** Reads a live or retained task; null if there is none. */
  async get(id: string, { signal }: Signal = {}): Promise<Task | null> {
    try {
      return await this.#connection.request<Task>('GET', pathOf(id), { signal });
    } catch (error) {
      if (error instanceof TaskNotFoundError) return null;
      throw error;
    }
  }

  /** Reads a page of tasks, newest first. Default: live tasks. */
  list(query: ListQuery = {}, { signal }: Signal = {}): Promise<TaskPage> {
    return this.#connection.request('GET', '/tasks', { query, signal });
  }

  /** Yields all tasks of a filter, page by page. */
  async *listAll(filter: TaskFilter = {}, { signal }: Signal = {}): AsyncGenerator<Task, void, undefined> {
    for (let after: string | undefined; ;) {
      const page: TaskPage = await this.list({ ...filter, after, limit: 1_000 }, { signal });
      yield* page.tasks;
      if (page.next === null) return;
      after = page.next;
    }
  }

  /** Stops a task, queued or running. A task that had ended, or does not exist, has a receipt that says so. */
  stop(id: string, options?: StopOptions): Promise<Receipt>;
  stop(ids: readonly string[], options?: StopOptions): Promise<Receipt[]>;
  stop(ids: string | readonly string[], options: StopOptions = {}): Promise<Receipt | Receipt[]> {
    if (typeof ids === 'string') return stopTask(this.#connection, ids, options);
    return Promise.all(ids.map((id) => stopTask(this.#connection, id, options)));
  }

  /** Stops every live task of an item, or lists them as a dry run. */
  async stopItem(item: string, { dryRun, ...options }: StopOptions & { readonly dryRun?: boolean | undefined } = {}): Promise<Receipt[]> {
    const body = { ...options, dry_run: dryRun };
    const { receipts } = await postStop<{ receipts: Receipt[] }>(this.#connection, `/items/${encodeURIComponent(item)}`, body);
    return receipts;
  }

  /** Retries a failed or cancelled task. */
  retry(id: string, { signal }: Signal = {}): Promise<Task> {
    return this.#connection.request('POST', `${pathOf(id)}/retry`, { body: {}, signal });
  }

  /**
   * Yields the events of a task: first its history, last its terminal state; each once and in order, also across lost connections. Returns
   * without a terminal state if the task is gone after a loss.
   */
  events<Chunk = unknown>(id: string, options: StreamOptions = {}): AsyncGenerator<TaskEvent<Chunk>, void, undefined> {
    return eventsOf<Chunk>(this.#connection, id, options);
  }

  /** Yields the lines of a task's log. */
  logs(id: string, options: LogOptions = {}): AsyncGenerator<LogLine, void, undefined> {
    return logsOf(this.#connection, id, options);
  }

  /**
   * Waits for a task and returns its result; null if it is not retained. An abort or a timeout leaves the task running.
   * @throws TaskFailedError, TaskCancelledError, TaskSkippedError, WaitTimeoutError
   */
  async result<Output = unknown>(
    id: string,
    { timeoutMs, signal, ...options }: Omit<StreamOptions, 'after'> & { readonly timeoutMs?: number | undefined } = {},
  ): Promise<Output> {
    const limit = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    const either = limit ? AbortSignal.any([limit, signal ?? limit]) : signal;
    try {
      for await (const event of eventsOf(this.#connection, id, { ...options, after: NOW, signal: either })) {
        if (!isEnd(event)) continue;
        const { state, task, error } = event;
        if (state === 'completed') return (task?.result ?? null) as Output;
        if (state === 'cancelled') throw new TaskCancelledError(id, event.receipt);
        if (state === 'skipped') throw new TaskSkippedError(id, event.skipped_for);
        throw new TaskFailedError(id, task?.error ?? null, task?.attempts?.findLast((one) => one.error !== null)?.error ?? error);
      }
    } catch (error) {
      if (limit?.aborted && !signal?.aborted)
        throw new WaitTimeoutError('WAIT_TIMEOUT', `Task ${id} did not finish within ${timeoutMs} ms.`);
      throw error;
    }
    throw new TaskNotFoundError('TASK_NOT_FOUND', `Task ${id} is not stored.`);
  }

  /** Sends any request of the API, such as `request('GET', '/queues')`, and returns the JSON of its answer; null if it has no body. */
  request<Body = unknown>(method: Method, path: string, options: CallOptions = {}): Promise<Body> {
    return this.#connection.request(method, path, options);
  }

  /** Yields the messages of any event stream of the API, such as `/events`, and resumes after the last one. */
  stream(path: string, options: StreamOptions = {}): AsyncGenerator<StreamMessage, void, undefined> {
    return messagesOf(this.#connection, path, options);
  }
}
