import { describeValue, isObject } from '../../shared/arguments.js';
import { HOOK_NAMES, type WorkerHooks } from './hooks.js';
import type { Middleware } from './middleware.js';

/** The hooks and the middleware of a worker, in the order of their calls. */
export interface Extensions {
  readonly hooks: readonly WorkerHooks[];
  readonly use: readonly Middleware[];
}

/**
 * Returns a copy of the given hooks, bound to their object; each property is read once.
 * @throws TypeError that says what was expected
 */
export function readHooks(given: unknown): WorkerHooks {
  if (!isObject(given)) throw new TypeError(`expected an object with ${HOOK_NAMES.join(', ')} as hooks, got ${describeValue(given)}`);
  const unknown = Object.keys(given).find((name) => !(HOOK_NAMES as readonly string[]).includes(name));
  if (unknown !== undefined) throw new TypeError(`there is no hook ${unknown}; the hooks are ${HOOK_NAMES.join(', ')}`);
  const hooks = given as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    HOOK_NAMES.flatMap((name) => {
      const hook = hooks[name];
      if (hook === undefined) return [];
      if (typeof hook !== 'function') throw new TypeError(`expected a function as hook ${name}, got ${describeValue(hook)}`);
      return [[name, hook.bind(given) as unknown]];
    }),
  );
}

/**
 * Returns a copy of the given middleware.
 * @throws TypeError that says what was expected
 */
export function readMiddleware(given: unknown): readonly Middleware[] {
  if (!Array.isArray(given)) throw new TypeError(`expected an array of functions (context, next) => … as use, got ${describeValue(given)}`);
  return given.map((middleware: unknown, index) => {
    if (typeof middleware !== 'function') throw new TypeError(`expected a function as use[${index}], got ${describeValue(middleware)}`);
    return middleware as Middleware;
  });
}
