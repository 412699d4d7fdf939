import { once } from 'node:events';
import { UnrecoverableError } from 'bullmq';
import { Piscina } from 'piscina';
import type { Logger } from '../shared/logger.js';
import type { Settings } from '../shared/settings.js';
import { type AbortCause, StopRequested, TimedOut } from '../shared/stop/cause.js';
import type { TaskContext } from '../shared/task/handler.js';
import type { HandlerSource, AbortMessage, ThreadMessage, ThreadResult, ThreadRun } from './thread-messages.js';

/** This file's neighbour, with this file's ending: compiled, or as source where a loader runs it. */
const THREAD_MAIN = new URL(`./thread-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** An isolated handler at work. */
export interface ThreadHandle {
  readonly result: Promise<unknown>;
  /** Passes the abort on to the handler's signal. A thread that never looks up does not notice. */
  abort(cause: AbortCause): void;
  /** Ends the thread, whatever it does; `result` rejects. */
  kill(): void;
}

/** The threads of this process. Made with the first isolated task. */
export class Threads {
  readonly #settings: Settings;
  readonly #logger: Logger;
  #pool: Piscina<ThreadRun, ThreadResult> | null = null;

  constructor(settings: Settings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
  }

  run(source: HandlerSource, context: TaskContext): ThreadHandle {
    this.#pool ??= this.#createPool();
    const { port1: near, port2: far } = new MessageChannel();
    const killer = new AbortController();
    near.on('message', (message: ThreadMessage) => this.#receive(message, context));
    const closed = once(near, 'close');
    const { id, item, attempt, input } = context;
    const run: ThreadRun = { ...source, settings: this.#settings, id, item, attempt, input, port: far };
    // The thread closes its end last, after everything that it said; the result may overtake that on its way here.
    const result = this.#pool
      .run(run, { transferList: [far], signal: killer.signal })
      .then((ended) => closed.then(() => valueOf(ended)))
      .finally(() => near.close());
    return { result, abort: (cause) => near.postMessage(abortMessage(cause)), kill: () => killer.abort() };
  }

  /** Ends all threads at once. */
  async close(): Promise<void> {
    await this.#pool?.destroy();
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
    // A thread that breaks outside of a run; without a listener it would end the process.
    pool.on('error', (error) => this.#logger.error({ error }, 'A thread failed'));
    return pool;
  }

  #receive(message: ThreadMessage, context: TaskContext): void {
    try {
      if (message.type === 'progress') context.progress(message.value as number);
      else if (message.type === 'emit') context.emit(message.chunk);
      else if (message.level !== 'silent') context.log[message.level](message.fields, message.message);
    } catch (error) {
      // In an event handler a throw would end the process.
      this.#logger.error({ task: context.id, error }, 'Bad message from a thread');
    }
  }
}

function valueOf(result: ThreadResult): unknown {
  if (result.ok) return result.value;
  const { name, message, stack } = result.error;
  const error = name === 'UnrecoverableError' ? new UnrecoverableError(message) : new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  throw error;
}

function abortMessage(cause: AbortCause): AbortMessage {
  return {
    kind: cause.kind,
    reason: cause instanceof StopRequested ? cause.reason : null,
    by: cause instanceof StopRequested ? cause.by : null,
    timeoutMs: cause instanceof TimedOut ? cause.timeoutMs : 0,
  };
}
