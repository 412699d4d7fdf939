import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { RedisAccess, RedisProcess } from './redis-process.js';

/** A redis-server with the default options, which tests of this process use one after the other. */
export interface PooledServer {
  readonly port: number;
  readonly dir: string;
  readonly process: RedisProcess;
  readonly access: RedisAccess;
}

const LIMIT_MS = 500;
const idle: PooledServer[] = [];
/** The configuration of a new server: all are alike, but for their port and folder. */
const configurations = new WeakMap<RedisProcess, string>();

/** Takes a server from the pool; null if all are in use. */
export function takeServer(): PooledServer | null {
  const server = idle.pop();
  return server === undefined || server.process.running ? (server ?? null) : takeServer();
}

/** Remembers how a new server is configured. */
export async function rememberServer({ process, access }: PooledServer): Promise<void> {
  configurations.set(process, await withClient(access, configurationOf));
}

/**
 * Empties a server and puts it into the pool, unless its test has changed its configuration, has left a connection open,
 * or has stopped it.
 * @returns false if the server must not be used again
 */
export async function returnServer(server: PooledServer): Promise<boolean> {
  if (!server.process.running) return false;
  const isAsNew = await withClient(server.access, async (client) => {
    if ((await configurationOf(client)) !== configurations.get(server.process) || !(await isAlone(client))) return false;
    await Promise.all([client.flushall(), client.script('FLUSH'), client.function('FLUSH'), client.config('RESETSTAT')]);
    return true;
  }).catch(() => false);
  if (isAsNew) idle.push(server);
  return isAsNew;
}

async function configurationOf(client: Redis): Promise<string> {
  return JSON.stringify(await Promise.all([client.config('GET', '*'), client.acl('LIST')]));
}

/** Waits until the server has noticed which connections are closed. */
async function isAlone(client: Redis): Promise<boolean> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const clients = String(await client.client('LIST'))
      .trimEnd()
      .split('\n');
    if (clients.length === 1) return true;
    if (performance.now() > deadline) return false;
    await delay(5);
  }
}

async function withClient<Value>(access: RedisAccess, use: (client: Redis) => Promise<Value>): Promise<Value> {
  const client = new Redis({ ...access, protocol: 2, lazyConnect: true, retryStrategy: () => null, commandTimeout: LIMIT_MS });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await use(client);
  } finally {
    client.disconnect();
  }
}
