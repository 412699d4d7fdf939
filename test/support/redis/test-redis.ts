import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis, type RedisOptions } from 'ioredis';
import { ensureRedisServer } from '../../../shared/embedded-redis/server-binary.js';
import { isPortFree } from '../../../shared/embedded-redis/server-process.js';
import { onFreePort } from '../process/ports.js';
import { removeAtExit } from '../process/reaper.js';
import { type PooledServer, rememberServer, returnServer, takeServer } from './redis-pool.js';
import { type RedisAccess, RedisProcess } from './redis-process.js';
import type { TestTls } from './test-tls.js';

export interface TestRedisOptions {
  /** Default: 'no'. */
  readonly appendonly?: 'yes' | 'no';
  /** Additional arguments of redis-server, such as `['--maxmemory', '10mb']`. Default: none. */
  readonly extraArgs?: readonly string[];
  /** Additional configuration lines, such as `min-replicas-to-write 1`; the server may rewrite them. Default: none. */
  readonly config?: readonly string[];
  /** The password of the user `default`, also used by replicas at their master. Default: none. */
  readonly password?: string;
  /** Users beside `default`, with the rules of ACL SETUSER: `{ name: 'fleet', rules: 'on >secret ~* &* +@all' }`. Default: none. */
  readonly users?: readonly { readonly name: string; readonly rules: string }[];
  /** Serves TLS only. Default: none, plain TCP. */
  readonly tls?: TestTls;
  /** The upper limit for the port, excluded. Default 32,000. */
  readonly portsBelow?: number;
}

/** The options of ioredis without the one that changes the type of the client. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>;

/**
 * A redis-server of a test's own, on 127.0.0.1, with an empty folder. It is killed when the test process ends; with default
 * options it goes to a later test once it is stopped, empty again.
 */
export interface TestRedis {
  /** Includes the password of `default`, if any; `rediss:` for TLS. */
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  /** The current process: a restart changes it. */
  readonly pid: number;
  readonly running: boolean;
  /** The topology behind the URL. */
  readonly topology: 'standalone' | 'cluster';
  /** The servers: this one, or the nodes of the cluster. */
  readonly nodes: readonly TestRedis[];
  /** Opens a connection, closed by `stop`. It reconnects every 20 ms while the server is down. */
  client(options?: ClientOptions): Redis;
  /** Closes the clients, then ends the server and removes its folder, or keeps it for another test. May be called again. */
  stop(): Promise<void>;
  /** Kills the server with SIGKILL. Resolves when it is gone. Clients stay, and reconnect after a `restart`. */
  kill(): Promise<void>;
  /** Starts the server again on the same port and folder; ends a running one first, with SIGTERM. */
  restart(): Promise<void>;
}

/**
 * Starts an empty redis-server, or takes one of this process that an earlier test has returned; installs one first where
 * the machine has none.
 */
export async function startTestRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const isDefault = Object.keys(options).length === 0;
  const pooled = isDefault ? takeServer() : null;
  if (pooled !== null) return new OwnRedis(pooled, options, isDefault);
  const say = (line: string): void => console.error(line);
  const binary = await ensureRedisServer({ path: process.env['PATH'] ?? '', say });
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-redis-')));
  removeAtExit(dir);
  try {
    return await onFreePort(async (port) => {
      if (!(await isPortFree(port))) return null;
      await writeFile(join(dir, 'redis.conf'), `${configOf(options, dir, port).join('\n')}\n`);
      const access = accessOf(options, port);
      const server = { port, dir, access, process: new RedisProcess({ binary, dir, args: options.extraArgs ?? [], access }) };
      if (!(await server.process.launch())) return null;
      if (isDefault) await rememberServer(server);
      return new OwnRedis(server, options, isDefault);
    }, options.portsBelow);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

function accessOf({ password, tls }: TestRedisOptions, port: number): RedisAccess {
  return {
    host: '127.0.0.1',
    port,
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: tls.client }),
  };
}

function configOf({ appendonly = 'no', password, users = [], tls, config = [] }: TestRedisOptions, dir: string, port: number): string[] {
  return [
    ...[`bind 127.0.0.1`, `dir "${dir}"`, `logfile "${join(dir, 'redis.log')}"`, 'save ""', `appendonly ${appendonly}`],
    ...(tls === undefined ? [`port ${port}`] : tls.serverConfig(port)),
    ...(password === undefined ? [] : [`requirepass "${password}"`, `masterauth "${password}"`]),
    ...users.map(({ name, rules }) => `user ${name} ${rules}`),
    ...config,
  ];
}

class OwnRedis implements TestRedis {
  readonly topology = 'standalone';
  readonly nodes = [this];
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  readonly #clients: Redis[] = [];
  #stopping: Promise<void> | null = null;

  constructor(
    private readonly server: PooledServer,
    { password, tls }: TestRedisOptions,
    private isReusable: boolean,
  ) {
    this.port = server.port;
    this.dir = server.dir;
    const credentials = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
    this.url = `${tls === undefined ? 'redis' : 'rediss'}://${credentials}127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.server.process.pid;
  }

  get running(): boolean {
    return this.server.process.running;
  }

  client(options: ClientOptions = {}): Redis {
    const client = new Redis({ ...this.server.access, protocol: 2, retryStrategy: () => 20, maxRetriesPerRequest: null, ...options });
    // The loss of a server killed by the test is not an error.
    client.on('error', () => undefined);
    this.#clients.push(client);
    return client;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    if (this.isReusable && (await returnServer(this.server))) return;
    await this.server.process.end('SIGKILL');
    await rm(this.dir, { recursive: true, force: true });
  }

  kill(): Promise<void> {
    this.isReusable = false;
    return this.server.process.end('SIGKILL');
  }

  async restart(): Promise<void> {
    this.isReusable = false;
    await this.server.process.end('SIGTERM');
    if (!(await this.server.process.launch())) throw new Error(`Another process took port ${this.port} while the redis-server was down`);
  }
}
