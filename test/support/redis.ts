import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis, type RedisOptions } from 'ioredis';
import { ensureRedisServer } from '../../shared/redis/server-binary.js';
import { isPortFree, spawnServer } from '../../shared/redis/server-process.js';
import { urlOf } from '../../shared/redis/server-state.js';
import { forget, reapAtExit } from './reaper.js';

export interface TestRedisOptions {
  /** Default: 'no'. */
  readonly appendonly?: 'yes' | 'no';
  /** More arguments of redis-server, such as `['--maxmemory', '10mb']`. Default: none. */
  readonly extraArgs?: readonly string[];
}

/** All of ioredis's but the one that changes the type of the client. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>;

/** A redis-server of a test's own, on 127.0.0.1, with an empty folder. It is killed when the test process ends. */
export interface TestRedis {
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  /** The process now: it changes with a restart. */
  readonly pid: number;
  /** A new connection, which `stop` closes. It reconnects every 20 ms while the server is away. */
  client(options?: ClientOptions): Redis;
  /** Closes the clients, ends the server and removes its folder. May be called again. */
  stop(): Promise<void>;
  /** Ends the server with SIGKILL and waits until it is gone. Clients stay, and reconnect after a `restart`. */
  kill(): Promise<void>;
  /** Starts the server again on the same port and folder; first ends it, with SIGTERM, if it runs. */
  restart(): Promise<void>;
}

/**
 * Below the range from which the system takes the ports of outgoing connections (32768 and up on Linux): there, a client
 * that reconnects to a server that is down could get the server's port itself, and be connected to itself.
 */
const PORTS = { min: 20_000, max: 32_000 } as const;
const START_TIMEOUT_MS = 15_000;
const MAX_ATTEMPTS = 50;

/** Starts an empty redis-server; installs one first where the machine has none. */
export async function startTestRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const say = (line: string): void => console.error(line);
  const binary = await ensureRedisServer({ path: process.env['PATH'] ?? '', say });
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-redis-')));
  const args = ['--save', '', '--appendonly', options.appendonly ?? 'no', ...(options.extraArgs ?? [])];
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const port = randomInt(PORTS.min, PORTS.max);
    if (!(await isPortFree(port))) continue;
    const server = new OwnRedis(port, dir, binary, args);
    if (await server.launch()) return server;
  }
  throw new Error(`No free port from ${PORTS.min} to ${PORTS.max} in ${MAX_ATTEMPTS} attempts`);
}

class OwnRedis implements TestRedis {
  readonly url: string;
  readonly #clients: Redis[] = [];
  #child: ChildProcess | null = null;
  #stopping: Promise<void> | null = null;

  constructor(
    readonly port: number,
    readonly dir: string,
    private readonly binary: string,
    private readonly args: readonly string[],
  ) {
    this.url = urlOf(port);
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('This redis-server does not run');
    return pid;
  }

  /** False if somebody else has the port. */
  async launch(): Promise<boolean> {
    const { binary, dir, port, args } = this;
    const onSpawn = (pid: number): Promise<void> => Promise.resolve(reapAtExit(pid));
    this.#child = await spawnServer({ binary, dir, port, args, startTimeoutMs: START_TIMEOUT_MS, onSpawn });
    if (this.#child === null) return false;
    const { pid } = this;
    this.#child.once('exit', () => forget(pid));
    return true;
  }

  client(options: ClientOptions = {}): Redis {
    const client = new Redis(this.url, { protocol: 2, retryStrategy: () => 20, maxRetriesPerRequest: null, ...options });
    // A server that a test kills is no error of the test.
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
    await this.#end('SIGKILL');
    await rm(this.dir, { recursive: true, force: true });
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async restart(): Promise<void> {
    await this.#end('SIGTERM');
    if (!(await this.launch())) throw new Error(`Somebody took port ${this.port} while the redis-server was down`);
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }
}
