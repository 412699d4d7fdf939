import { once } from 'node:events';
import type { MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { errorOf } from '../../../shared/attempt/failure.js';
import { messageOf } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/log/logger.js';
import { packageFile } from '../../../shared/package/package-file.js';
import type { Settings } from '../../../shared/settings/settings.js';
import type { AbortCause } from '../../../shared/stop/cause.js';
import type { TaskContext } from '../../../shared/task/handler.js';
import { within } from '../../../shared/time.js';
import type { AttemptSpan } from '../../../shared/tracing/telemetry.js';
import { unrecoverable } from '../outcome.js';
import { enqueueForThread } from './enqueue.js';
import {
  THREAD_MAIN,
  type MainMessage,
  type ThreadMessage,
  type ThreadResult,
  type ThreadRun,
  type ThreadTask,
  partsOf,
} from './messages.js';
import { Pulse } from './pulse.js';
import { threadBlocked, threadFailure } from './thread-failure.js';
import { LogFlow } from './thread-log.js';

/** How long the last messages of a failed or terminated thread may take to arrive, in ms. */
const LAST_MESSAGES_MS = 10_000;

/** A running isolated handler. */
export interface ThreadHandle {
  readonly result: Promise<unknown>;
  /** Whether the handler has been called; before that, the run waits for a free thread that has loaded its module. */
  readonly started: boolean;
  /** Aborts the handler's signal. A thread that never yields does not notice. */
  abort(cause: AbortCause): void;
  /** Terminates the thread; `result` rejects, with the reason if given. */
  kill(reason?: Error): void;
}

interface ThreadsOptions {
  /** Most threads at once. */
  readonly size: number;
  /** How long a handler may block the event loop of its thread before the thread is terminated, in ms; 0 for any time. */
  readonly blockedMs: number;
}

/**
 * A pool of threads, created for its first task.
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
    private readonly options: ThreadsOptions = { size: settings.threads, blockedMs: 0 },
  ) {}

  /** Whether a run would start at once. */
  get hasFree(): boolean {
    return this.#busy < this.options.size;
  }

  /** Number of live threads. */
  get count(): number {
    return this.#pool?.threads.length ?? 0;
  }

  /**
   * Runs a handler in a thread. Calls `onStarted` when the thread calls the handler.
   * @param span of the attempt; null without telemetry
   */
  run(source: ThreadTask, context: TaskContext, onStarted: () => void, span: AttemptSpan | null = null): ThreadHandle {
    const pool = (this.#pool ??= this.#createPool());
    const { port1: near, port2: far } = new MessageChannel();
    const killer = new AbortController();
    const failStart = (error: Error): void => killer.abort(error);
    let started = false;
    let pulse: Pulse | null = null;
    const flow = new LogFlow();
    near.on('message', (message: ThreadMessage) => {
      if (message.type === 'enqueue') {
        void enqueueForThread(context, message, span).then((result) =>
          near.postMessage({ type: 'enqueued', call: message.call, ...result } satisfies MainMessage),
        );
        return;
      }
      if (message.type === 'pong') return pulse?.answered();
      if (message.type === 'log') flow.receive(message.size);
      if (message.type !== 'started') return this.#receive(message, context);
      started = true;
      pulse = this.#watch(source.name, near, killer);
      this.#starting.delete(failStart);
      onStarted();
    });
    const closed = once(near, 'close');
    const { id, item, attempt } = context;
    const log = { level: context.log.level, shared: flow.shared };
    const run: ThreadRun = { ...source, settings: this.settings, ...{ id, item, attempt, log }, port: far };
    // The thread closes its port after its last message; the result may arrive before these messages.
    const begin = (): Promise<ThreadResult> => {
      this.#starting.add(failStart);
      return pool.run(run, { transferList: [far], signal: killer.signal });
    };
    const result = this.#withThread(killer.signal, begin)
      .then((ended) => closed.then(() => valueOf(ended)))
      .catch(async (error: unknown) => {
        // Before a thread called its handler, its port may never close.
        if (started) await within(LAST_MESSAGES_MS, closed, () => undefined);
        if (killer.signal.aborted) throw killer.signal.reason;
        throw threadFailure(error, source.name, this.settings.threadMemoryMb);
      })
      .finally(() => {
        pulse?.stop();
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

  #watch(name: string, port: MessagePort, killer: AbortController): Pulse | null {
    const { blockedMs } = this.options;
    if (blockedMs === 0) return null;
    return new Pulse({
      limitMs: blockedMs,
      ping: () => port.postMessage({ type: 'ping' } satisfies MainMessage),
      onBlocked: () => killer.abort(threadBlocked(name, blockedMs)),
    });
  }

  /** Terminates all threads at once. */
  async close(): Promise<void> {
    this.#waiting.clear();
    await this.#pool?.destroy();
  }

  /** Calls `begin` when a thread is free. Rejects if aborted before. */
  async #withThread<Value>(signal: AbortSignal, begin: () => Promise<Value>): Promise<Value> {
    if (this.hasFree) this.#busy += 1;
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
    const { threadMemoryMb: memoryMb } = this.settings;
    const pool = new Piscina<ThreadRun, ThreadResult>({
      filename: packageFile(THREAD_MAIN).href,
      minThreads: 0,
      maxThreads: this.options.size,
      idleTimeout: 30_000,
      resourceLimits: memoryMb === 0 ? {} : { maxOldGenerationSizeMb: memoryMb },
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

  #receive(message: Exclude<ThreadMessage, { type: 'started' | 'pong' | 'enqueue' }>, context: TaskContext): void {
    try {
      if (message.type === 'progress') context.progress(message.value as number);
      else if (message.type === 'emit') context.emit(message.chunk);
      else if (message.type === 'spend') context.spend(message.cost);
      else if (message.level !== 'silent') context.log[message.level](message.fields, message.message);
    } catch (error) {
      // A throw in an event handler would end the process.
      this.logger.error({ task: context.id, error }, 'Bad message from a thread; ignoring it');
    }
  }
}

function valueOf(result: ThreadResult): unknown {
  if (result.ok) return result.value;
  const error = Object.assign(errorOf(result.failure), result.asked);
  throw result.final ? unrecoverable(error) : error;
}
