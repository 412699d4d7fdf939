import type { Redis } from 'ioredis';
import { CONNECTION_CLOSED_TEXT } from './connection-errors.js';

/** Internals of ioredis. `test/shared/redis/connect.test.ts` fails if they change. */
interface Internals {
  /** Unanswered commands of the last ready connection, which the next one resends. */
  readonly prevCommandQueue?: CommandQueue | null;
  readonly commandQueue: CommandQueue;
  readonly retryAttempts: number;
}

interface CommandQueue {
  readonly length: number;
  shift(): { readonly command: { reject(error: Error): void } } | undefined;
}

/**
 * Fails unanswered commands that ioredis forgets. On close, or after `maxRetriesPerRequest` failed reconnects, ioredis fails only
 * the commands in `commandQueue`. If a connection was accepted but never became ready, as on a half-open network, earlier commands
 * stay in `prevCommandQueue` and would wait forever.
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

/** Fails the commands sent over a lost connection. */
export function failSent(redis: Redis, text: string): void {
  const { prevCommandQueue } = redis as unknown as Internals;
  for (let sent = prevCommandQueue?.shift(); sent; sent = prevCommandQueue?.shift()) sent.command.reject(new Error(text));
}
