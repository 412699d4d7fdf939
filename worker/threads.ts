import { once } from 'node:events';
import { UnrecoverableError } from 'bullmq';
import { Piscina } from 'piscina';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Settings } from '../shared/settings.js';
import type { AbortCause } from '../shared/stop/cause.js';
import type { TaskContext } from '../shared/task/handler.js';
import { partsOf } from './cause-parts.js';
import { enqueueForThread } from './thread-enqueue.js';
import type { HandlerSource, MainMessage, ThreadMessage, ThreadResult, ThreadRun } from './thread-messages.js';

/** This file's neighbour, with this file's ending: compiled, or as source where a loader runs it. */
const THREAD_MAIN = new URL(`./thread-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** An isolated handler at work. */
export interface ThreadHandle {
  readonly result: Promise<unknown>;
  /** Whether the handler has been called; before that it waits for a free thread that has loaded its module. */
  readonly started: boolean;
  /** Passes the abort on to the handler's signal. A thread that never looks up does not notice. */
  abort(cause: AbortCause): void;
  /** Ends the thread, whatever it does; `result` rejects, with the reason if one is given. */
  kill(reason?: Error): void;
}

/**
 * The threads of this process. Made with the first isolated task.
 *
 * Piscina never gets more runs than it may have threads: what waits in its own queue when a thread is ended stays there
 * until the next run comes, which may be never (5.3).
 */
export class Threads {
  readonly #settings: Settings;
  readonly #logger: Logger;
  #pool: Piscina<ThreadRun, ThreadResult> | null = null;
  #busy = 0;
  /** Fails each run that was given to the pool and whose handler has not been called yet. */
  readonly #starting = new Set<(error: Error) => void>();
  /** Begins each run that waits for a free thread. In the order in which they came. */
  readonly #waiting = new Set<() => void>();

  constructor(settings: Settings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
  }

  /** Calls `onStarted` when a thread calls the handler. */
  run(source: HandlerSource, context: TaskContext, onStarted: () => void): ThreadHandle {
    const pool = (this.#pool ??= this.#createPool());
    const { port1: near, port2: far } = new MessageChannel();
    const killer = new AbortController();
    const failStart = (error: Error): void => killer.abort(error);
    let started = false;
    near.on('message', (message: ThreadMessage) => {
      if (message.type === 'enqueue') {
        void enqueueForThread(context, message).then((result) =>
          near.postMessage({ type: 'enqueued', call: message.call, ...result } satisfies MainMessage),
        );
        return;
      }
      if (message.type !== 'started') return this.#receive(message, context);
      started = true;
      this.#starting.delete(failStart);
      onStarted();
    });
    const closed = once(near, 'close');
    const { id, item, attempt, input } = context;
    const run: ThreadRun = { ...source, settings: this.#settings, id, item, attempt, input, port: far };
    // The thread closes its end last, after everything that it said; the result may overtake that on its way here.
    const begin = (): Promise<ThreadResult> => {
      this.#starting.add(failStart);
      return pool.run(run, { transferList: [far], signal: killer.signal });
    };
    const result = this.#inTurn(killer.signal, begin)
      .then((ended) => closed.then(() => valueOf(ended)))
      .catch((error: unknown) => {
        throw killer.signal.aborted ? killer.signal.reason : error;
      })
      .finally(() => {
        this.#starting.delete(failStart);
        near.close();
      });
    return {
      result,
      get started() {
        return started;
      },
      abort: (cause) => near.postMessage({ type: 'abort', cause: partsOf(cause) } satisfies MainMessage),
      kill: (reason) => killer.abort(reason),
    };
  }

  /** Ends all threads at once. */
  async close(): Promise<void> {
    this.#waiting.clear();
    await this.#pool?.destroy();
  }

  /** Calls `begin` when a thread is free. Rejects if it is aborted before. */
  async #inTurn<Value>(signal: AbortSignal, begin: () => Promise<Value>): Promise<Value> {
    if (this.#busy < this.#settings.threads) this.#busy += 1;
    else await this.#freeThread(signal);
    try {
      return await begin();
    } finally {
      this.#busy -= 1;
      const [next] = this.#waiting;
      next?.();
    }
  }

  /** Resolves with a thread's place taken. */
  #freeThread(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const next = (): void => {
        this.#waiting.delete(next);
        this.#busy += 1;
        resolve();
      };
      this.#waiting.add(next);
      signal.addEventListener('abort', () => {
        if (this.#waiting.delete(next)) reject(signal.reason as Error);
      });
    });
  }

  #createPool(): Piscina<ThreadRun, ThreadResult> {
    const pool = new Piscina<ThreadRun, ThreadResult>({
      filename: THREAD_MAIN.href,
      minThreads: 0,
      maxThreads: this.#settings.threads,
      idleTimeout: 30_000,
      // Piscina's default puts an idle thread to sleep before its port is closed and what was said on it is sent.
      atomics: 'disabled',
    });
    // A thread that breaks outside of a run; without a listener it would end the process. If it could not even start,
    // the run that it was for would wait for ever.
    pool.on('error', (error) => {
      this.#logger.error({ error }, 'Thread failed outside of a task');
      for (const failStart of this.#starting) failStart(new Error(`Could not start a thread: ${messageOf(error)}`));
    });
    return pool;
  }

  #receive(message: Exclude<ThreadMessage, { type: 'started' | 'enqueue' }>, context: TaskContext): void {
    try {
      if (message.type === 'progress') context.progress(message.value as number);
      else if (message.type === 'emit') context.emit(message.chunk);
      else if (message.level !== 'silent') context.log[message.level](message.fields, message.message);
    } catch (error) {
      // In an event handler a throw would end the process.
      this.#logger.error({ task: context.id, error }, 'Bad message from a thread; ignoring it');
    }
  }
}

function valueOf(result: ThreadResult): unknown {
  if (result.ok) return result.value;
  const { name, message, stack, final } = result.error;
  const error = final ? new UnrecoverableError(message) : new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  throw error;
}
