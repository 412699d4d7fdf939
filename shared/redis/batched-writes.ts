// oxlint-disable-next-line no-restricted-imports -- a queue of the event loop; no configuration
import { nextTick } from 'node:process';
import type { Cluster, Redis } from 'ioredis';
import { type RedisConnection, isCluster } from './connection.js';

/**
 * Size at which a batch is sent before the turn ends, in bytes: the ends of four tasks in one call. With a larger limit, Redis is idle while
 * a busy process prepares its batch, and the process while Redis runs it: Redis answers what it reads at once together.
 */
const BATCH_BYTES = 2_048;

/**
 * Makes a connection send the commands of one turn in one socket write: ioredis writes each command by itself, a system call
 * here and another one in Redis.
 *
 * The commands stay in order, and a batch that is lost with its connection counts as sent: its commands are resent or fail, as ever.
 * It is sent once the promises of the turn are done (a microtask would come before most of them), and before any timer or I/O.
 */
export function batchWrites(redis: RedisConnection): void {
  if (isCluster(redis)) batchWritesOfNodes(redis);
  else redis.on('connect', () => batchWritesOf(redis.stream));
}

/** Resolves when the commands of this turn are sent: what the caller does next would delay them. */
export function written(): Promise<void> {
  return new Promise((resolve) => nextTick(resolve));
}

function batchWritesOfNodes(cluster: Cluster): void {
  cluster.on('+node', (node: Redis) => batchWrites(node));
}

type Writer = Pick<Redis['stream'], 'write' | 'cork' | 'uncork'>;

/** Corks the stream with the first write of a turn. A stream that ends flushes its batch. */
function batchWritesOf(stream: Writer): void {
  const write: (chunk: string | Uint8Array) => boolean = stream.write.bind(stream);
  let corked = false;
  let bytes = 0;
  const flush = (): void => {
    corked = false;
    stream.uncork();
  };
  stream.write = (chunk: string | Uint8Array) => {
    if (!corked) {
      corked = true;
      bytes = 0;
      stream.cork();
      nextTick(flush);
    }
    const taken = write(chunk);
    bytes += chunk.length;
    if (bytes >= BATCH_BYTES) {
      bytes = 0;
      stream.uncork();
      stream.cork();
    }
    return taken;
  };
}
