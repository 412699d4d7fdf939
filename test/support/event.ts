import type { EventEmitter } from 'node:events';

/**
 * Resolves with the arguments of the next event of this name. Unlike `once` of node:events it does not reject when an
 * `error` comes first: a connection whose server is killed says ECONNRESET before it says `close`, or does not.
 */
export function eventOf(emitter: EventEmitter, name: string): Promise<unknown[]> {
  return new Promise((resolve) => emitter.once(name, (...args: unknown[]) => resolve(args)));
}
