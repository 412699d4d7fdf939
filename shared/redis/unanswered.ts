import type { Redis } from 'ioredis';
import { CONNECTION_CLOSED_TEXT } from './connection-errors.js';

/** What ioredis keeps to itself. `test/shared/connect.test.ts` holds it to its version. */
interface Internals {
  /** What was sent over the last connection that was ready, and had no answer: it is sent again by the next one. */
  readonly prevCommandQueue?: CommandQueue | null;
  readonly commandQueue: CommandQueue;
  readonly retryAttempts: number;
}

interface CommandQueue {
  readonly length: number;
  shift(): { readonly command: { reject(error: Error): void } } | undefined;
}

/**
 * ioredis fails what has no answer when it was closed, or after `maxRetriesPerRequest` vain reconnects; but only what it
 * finds in one place. Once another connection was accepted and not answered, as by a network that is half open, it has
 * left the commands elsewhere, and would let them wait for ever.
 */
export function failUnanswered(redis: Redis): void {
  redis.on('close', () => {
    const { prevCommandQueue, commandQueue, retryAttempts } = redis as unknown as Internals;
    if (prevCommandQueue === commandQueue) return;
    const { maxRetriesPerRequest: limit } = redis.options;
    if (redis.status === 'end') failSent(redis, CONNECTION_CLOSED_TEXT);
    else if (typeof limit === 'number' && retryAttempts % (limit + 1) === 0)
      failSent(redis, `Command aborted due to connection close, and no answer after ${retryAttempts} reconnects`);
  });
}

/** Fails what was sent over a connection that is lost. */
export function failSent(redis: Redis, text: string): void {
  const { prevCommandQueue } = redis as unknown as Internals;
  for (let sent = prevCommandQueue?.shift(); sent; sent = prevCommandQueue?.shift()) sent.command.reject(new Error(text));
}
