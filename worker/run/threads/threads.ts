import { once } from 'node:events';
import { UnrecoverableError } from 'bullmq';
import { Piscina } from 'piscina';
import { messageOf } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/logger.js';
import type { Settings } from '../../../shared/settings/settings.js';
import type { AbortCause } from '../../../shared/stop/cause.js';
import type { TaskContext } from '../../../shared/task/handler.js';
import { enqueueForThread } from './enqueue.js';
import { type HandlerSource, type MainMessage, type ThreadMessage, type ThreadResult, type ThreadRun, partsOf } from './messages.js';

/** The entry module of threads, with this file's extension: compiled, or source under a loader. */
const THREAD_MAIN = new URL(`./thread-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** A running isolated handler. */
interface ThreadHandle {
  readonly result: Promise<unknown>;
  /** Whether the handler has been called; before that, the run waits for a free thread that has loaded its module. */
  readonly started: boolean;
  /** Aborts the handler's signal. A thread that never yields does not notice. */
  abort(cause: AbortCause): void;
  /** Terminates the thread; `result` rejects, with the reason if given. */
  kill(reason?: Error): void;
}

/**
 * The threads of this process, created for the first isolated task.
 *
 * Piscina never gets more runs than it has threads: when a thread is terminated, runs in piscina's own queue stay there until the next run
 * arrives, which may be never (5.3).
 */
export class Threads {
  #pool: Piscina<ThreadRun, ThreadResult> | null = null;
  #busy = 0;
  /** Callbacks that fail runs given to the pool whose handler has not been called yet. */
  readonly #starting = new Set<(error: Error) => void>();
  /** Callbacks that start runs waiting for a free thread, in order of arrival. */
  readonly #waiting = new Set<() => void>();

  constructor(
    private readonly settings: Settings,
    private readonly logger: Logger,
  ) {}

  /** Runs a handler in a thread. Calls `onStarted` when the thread calls the handler. */
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
    const run: ThreadRun = { ...source, settings: this.settings, id, item, attempt, input, port: far };
    // The thread closes its port after its last message; the result may arrive before these messages.
    const begin = (): Promise<ThreadResult> => {
      this.#starting.add(failStart);
      return pool.run(run, { transferList: [far], signal: killer.signal });
    };
    const result = this.#withThread(killer.signal, begin)
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

  /** Terminates all threads at once. */
  async close(): Promise<void> {
    this.#waiting.clear();
    await this.#pool?.destroy();
  }

  /** Calls `begin` when a thread is free. Rejects if aborted before. */
  async #withThread<Value>(signal: AbortSignal, begin: () => Promise<Value>): Promise<Value> {
    if (this.#busy < this.settings.threads) this.#busy += 1;
    else await this.#reserveThread(signal);
    try {
      return await begin();
    } finally {
      this.#busy -= 1;
      const [next] = this.#waiting;
      next?.();
    }
  }

  /** Resolves once a thread is reserved. */
  #reserveThread(signal: AbortSignal): Promise<void> {
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
      maxThreads: this.settings.threads,
      idleTimeout: 30_000,
      // By default piscina puts an idle thread to sleep before its port is closed and its messages are sent.
      atomics: 'disabled',
    });
    // Without a listener, a thread that fails outside a run would end the process; a run whose thread cannot start would wait forever.
    pool.on('error', (error) => {
      this.logger.error({ error }, 'Thread failed outside of a task');
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
      // A throw in an event handler would end the process.
      this.logger.error({ task: context.id, error }, 'Bad message from a thread; ignoring it');
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
