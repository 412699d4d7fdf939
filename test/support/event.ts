import type { EventEmitter } from 'node:events';

/**
 * Resolves with the arguments of the next event of this name. Unlike `once` of node:events it does not reject on an earlier `error`:
 * a connection whose server is killed may emit ECONNRESET before `close`.
 */
export function eventOf(emitter: EventEmitter, name: string): Promise<unknown[]> {
  return new Promise((resolve) => emitter.once(name, (...args: unknown[]) => resolve(args)));
}
