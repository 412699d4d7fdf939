import { setTimeout as delay } from 'node:timers/promises';
import { badArgument } from '../../shared/arguments.js';
import { FleetError } from '../../shared/errors.js';
import { type LogLine, type LogPage, MAX_LOG_LINES, parseLogLine } from '../../shared/log/task-log.js';
import type { Store } from '../../shared/store.js';
import type { Waiter } from './waiter.js';

export interface LogPageOptions {
  /** The `seq` of the last line seen. Default: 0, from the oldest kept line. */
  readonly after?: number | undefined;
  /** Maximum number of lines, from 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

export interface LogOptions extends LogPageOptions {
  /** Maximum number of lines. Default: all. */
  readonly limit?: number | undefined;
  /** Go on with new lines until the task ends. Default false. */
  readonly follow?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Lines of a page without `limit`. */
const PAGE_LINES = 100;
/** How long a follower waits before the next read, in ms: at first and while nothing is logged. */
const POLL_MS = 200;
const LONGEST_POLL_MS = 1_000;

type Read = LogPage & { readonly state: 'live' | 'ended'; readonly end: number };

/** Reads the logs of single tasks. Nothing announces a new line, so followers poll. */
export class TaskLogs {
  /** Reads that followers wait for, by place. */
  readonly #awaited = new Map<string, Promise<Read | null>>();

  constructor(
    private readonly store: Store,
    private readonly waiter: Pick<Waiter, 'retried'>,
  ) {}

  /** Returns a page of a task's log, oldest line first. @throws FleetError `TASK_NOT_FOUND`, `INVALID_OPTION` */
  async page(id: string, { after = 0, limit = PAGE_LINES }: LogPageOptions): Promise<LogPage> {
    checkWhole('after', after, 0, Number.MAX_SAFE_INTEGER);
    checkWhole('limit', limit, 1, MAX_LOG_LINES);
    const read = await this.#read(await this.#queueOf(id), id, after, limit);
    if (read === null) throw notFound(id);
    const { lines, next, dropped } = read;
    return { lines, next, dropped };
  }

  /** Yields the lines of a task's log, in groups. @throws FleetError `TASK_NOT_FOUND`, `INVALID_OPTION`, `CLOSED`; the signal's reason */
  async *pages(id: string, { after = 0, limit, follow = false, signal }: LogOptions): AsyncGenerator<readonly LogLine[], void, undefined> {
    checkWhole('after', after, 0, Number.MAX_SAFE_INTEGER);
    if (limit !== undefined) checkWhole('limit', limit, 1, Number.MAX_SAFE_INTEGER);
    const queue = await this.#queueOf(id);
    let left = limit ?? Infinity;
    const readAfter = (seen: number): Promise<Read | null> => this.#retried(queue, id, seen, Math.min(left, MAX_LOG_LINES));
    let idleMs = 0;
    let read = await readAfter(after);
    if (read === null) throw notFound(id);
    while (read !== null) {
      signal?.throwIfAborted();
      const { lines, next, state, end }: Read = read;
      if (lines.length > 0) yield lines;
      left -= lines.length;
      if (left <= 0 || (next === null && (!follow || state === 'ended'))) return;
      idleMs = lines.length > 0 ? POLL_MS : Math.min(Math.max(idleMs * 2, POLL_MS), LONGEST_POLL_MS);
      read = await (next === null ? unlessAborted(this.#later(idleMs, queue, id, end, left), signal) : readAfter(end));
    }
  }

  /** Reads after a pause. Followers that wait at the same place share one read. */
  #later(pauseMs: number, queue: string | null, id: string, after: number, left: number): Promise<Read | null> {
    const limit = Math.min(left, MAX_LOG_LINES);
    const place = JSON.stringify([queue, id, after, limit]);
    let read = this.#awaited.get(place);
    if (!read) {
      read = delay(pauseMs)
        .then(() => this.#retried(queue, id, after, limit))
        .finally(() => this.#awaited.delete(place));
      this.#awaited.set(place, read);
    }
    return read;
  }

  #retried(queue: string | null, id: string, after: number, limit: number): Promise<Read | null> {
    return this.waiter.retried(() => this.#read(queue, id, after, limit));
  }

  /** Returns the task's queue; null for a task of another program, which has no log. @throws FleetError `TASK_NOT_FOUND` */
  async #queueOf(id: string): Promise<string | null> {
    const { byQueue, foreign } = await this.waiter.retried(() => this.store.reader.locate([id]));
    const [queue] = byQueue.keys();
    if (queue !== undefined) return queue;
    if (foreign.has(id)) return null;
    throw notFound(id);
  }

  /** Returns null if the task is gone. */
  async #read(queue: string | null, id: string, after: number, limit: number): Promise<Read | null> {
    if (queue === null) return { lines: [], next: null, dropped: 0, state: 'ended', end: 0 };
    const { redis, keys } = this.store;
    const job = keys.jobs(queue) + id;
    const [state, dropped, last, before, ...texts] = await redis.readLog(job, `${job}:logs`, after, limit);
    if (state === 'missing') return null;
    const end = before + texts.length;
    return {
      state,
      end,
      dropped,
      lines: texts.map((text, index) => parseLogLine(text, before + index + 1)),
      next: end < last ? end : null,
    };
  }
}

/** Rejects at once when the signal is aborted. */
function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function notFound(id: string): FleetError {
  return new FleetError('TASK_NOT_FOUND', `Task ${id} not found: it never existed or its retention has expired.`, { details: { id } });
}

function checkWhole(field: string, value: unknown, least: number, most: number): void {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw badArgument(
    'INVALID_OPTION',
    field,
    most === Number.MAX_SAFE_INTEGER ? `a whole number from ${least}` : `${least} to ${most}`,
    value,
  );
}
