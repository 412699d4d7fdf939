import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { AbstractConnector, type Cluster, Redis } from 'ioredis';
import { type ConnectOptions, connect, reconnecting, serverOptions } from './connect.js';
import { CONNECTION_CLOSED_TEXT } from './connection-errors.js';
import { endOnce, failUnanswered, logConnection, readBeforeTimeout } from './connection-watch.js';
import { type RedisConnection, describeConnection, isCluster, nameConnection, ownerOf } from './connection.js';
import { textRefusedWith } from './reply-errors.js';
import type { Address } from './topology.js';

type Stream = ReturnType<typeof createConnection>;

/** How often to check whether the slot's master is known. */
const LOOK_MS = 20;
const REFUSED_ELSEWHERE = textRefusedWith('READONLY', 'UNBLOCKED', 'CLUSTERDOWN');

/**
 * Opens a separate connection to the server that holds a key, for blocking reads and subscriptions. On a cluster it connects to
 * the master of the key's slot, looked up through `commands`, and follows the slot when it moves or its master dies.
 */
export function connectToServer(commands: RedisConnection, key: string, options: ConnectOptions): Redis {
  if (!isCluster(commands)) return connect(options) as Redis;
  const { settings, policy, logger, lazy = false } = options;
  const shared = { ...serverOptions(options), ...reconnecting(settings) };
  const redis = new Redis({
    ...shared,
    lazyConnect: lazy,
    enableOfflineQueue: policy === 'wait',
    Connector: ownerConnector(() => ownerOf(commands, key), shared.tls),
    reconnectOnError: (error: Error): 2 | false => (hasMoved(error, commands) ? 2 : false),
  });
  failUnanswered(redis);
  endOnce(redis);
  readBeforeTimeout(redis);
  nameConnection(redis, describeConnection(commands));
  logConnection(redis, logger, `${describeConnection(commands)}, the master of ${key}`);
  return redis;
}

/** Whether the slot has another master now. */
function hasMoved({ message }: Error, commands: Cluster): boolean {
  const moved = /^(MOVED|ASK)\b/.test(message) || REFUSED_ELSEWHERE.test(message);
  if (moved) commands.refreshSlotsCache();
  return moved;
}

/** Makes the class with which ioredis opens streams; it looks up the address at each attempt. */
function ownerConnector(find: () => Address | null, tls: ConnectionOptions | undefined) {
  return class OwnerConnector extends AbstractConnector {
    constructor(options: unknown) {
      super((options as { disconnectTimeout: number }).disconnectTimeout);
    }

    override async connect(): Promise<Stream> {
      this.connecting = true;
      // Wait instead of rejecting while the master is unknown: after a rejection ioredis would not reconnect.
      for (;;) {
        const owner = find();
        if (!this.connecting) throw new Error(CONNECTION_CLOSED_TEXT);
        if (owner) return this.#open(owner);
        await delay(LOOK_MS);
      }
    }

    #open(owner: Address): Stream {
      const stream = tls ? connectTls({ ...owner, ...tls }) : createConnection(owner);
      stream.once('error', (error) => {
        this.firstError = error;
      });
      this.stream = stream;
      return stream;
    }
  };
}
