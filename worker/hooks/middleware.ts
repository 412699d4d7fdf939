import { FleetError } from '../../shared/errors.js';
import type { TaskContext } from '../../shared/task/handler.js';

/**
 * Calls the next middleware or, from the last one, the handler. Resolves with the result. Rejects with the error of the handler, or with
 * the abort's cause if the attempt was aborted before the handler was called. May be called once.
 */
export type Next = () => Promise<unknown>;

/**
 * A function around the handler of each task, in the main thread even if the handler is isolated. The first middleware is the outermost.
 * - A returned value becomes the result; `undefined` keeps the result of `next()`.
 * - A thrown error fails the attempt like an error of the handler.
 * - Without a call of `next()`, the handler is not called, and the attempt completes with the returned value.
 *
 * The attempt lasts until the handler has ended too, even if a middleware does not wait for `next()`.
 */
export type Middleware = (context: TaskContext, next: Next) => unknown;

/** All middleware of a worker around one call of a handler. */
export type MiddlewareChain = (context: TaskContext, callHandler: Next) => Promise<unknown>;

/** Returns the chain of the middleware, null for none: the worker then calls handlers directly. */
export function composeMiddleware(use: readonly Middleware[]): MiddlewareChain | null {
  if (use.length === 0) return null;
  return (context, callHandler) => {
    const runFrom = (index: number): Promise<unknown> => {
      const middleware = use[index];
      return middleware ? runAround(middleware, context, () => runFrom(index + 1)) : callHandler();
    };
    return runFrom(0);
  };
}

async function runAround(middleware: Middleware, context: TaskContext, inner: Next): Promise<unknown> {
  const step = new Step(context.name, inner);
  let value: unknown;
  try {
    value = await middleware(context, step.next);
  } catch (error) {
    await step.close().catch(() => undefined);
    throw step.misuse ?? error;
  }
  const result = await step.close();
  if (step.misuse) throw step.misuse;
  return value === undefined ? result : value;
}

/** The call of `next()` by one middleware. */
class Step {
  #running: Promise<unknown> | undefined;
  #failed = false;
  #closed = false;
  /** Set by a call of `next()` that is not allowed: it fails the attempt even if the middleware ignores the rejection. */
  misuse: FleetError | null = null;

  constructor(
    private readonly name: string,
    private readonly inner: Next,
  ) {}

  readonly next: Next = () => {
    if (this.#running || this.#closed) return this.#refuse();
    this.#running = this.inner();
    this.#running.catch(() => (this.#failed = true));
    return this.#running;
  };

  /**
   * Waits for the handler: a retry must not begin while the handler of this attempt still runs. Resolves with the result of `next()`,
   * or with undefined without a call or after an error that the middleware has seen; rejects with an error that it did not wait for.
   */
  async close(): Promise<unknown> {
    this.#closed = true;
    return this.#failed ? undefined : this.#running;
  }

  #refuse(): Promise<never> {
    const when = this.#closed ? 'after it had ended' : 'twice';
    this.misuse = new FleetError(
      'INVALID_MIDDLEWARE',
      `A middleware called next() ${when} around ${this.name}: call it once, and await it.`,
    );
    const refused: Promise<never> = Promise.reject(this.misuse);
    // If the middleware ignores it, the rejection must not end the process.
    refused.catch(() => undefined);
    return refused;
  }
}
