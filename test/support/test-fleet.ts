import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type Producer, type ProducerConfig, createProducer } from '../../producer/index.js';
import { type Keys, createKeys } from '../../shared/keys.js';
import { createLoggerFactory } from '../../shared/logger.js';
import { resolveSettings } from '../../shared/settings.js';
import { type ConnectedSettings, type Store, openStore } from '../../shared/store.js';
import type { TaskHandler } from '../../shared/task/handler.js';
import { type FleetWorker, type WorkerConfig, createWorker } from '../../worker/index.js';
import { Monitor } from './monitor.js';
import { type TestRedis, type TestRedisOptions, startTestRedis } from './redis.js';

/** A redis-server, and what tests open on it. `stop` closes all of it, in the order that lets each end cleanly. */
export class TestFleet {
  /** For looking into Redis. */
  readonly client: Redis;
  readonly #opened: (() => Promise<unknown>)[] = [];

  private constructor(readonly redis: TestRedis) {
    this.client = redis.client();
  }

  static async start(options?: TestRedisOptions): Promise<TestFleet> {
    return new TestFleet(await startTestRedis(options));
  }

  /** A name for one test: its keys meet those of no other test. */
  newPrefix(): string {
    return `t${randomUUID().slice(0, 8)}`;
  }

  /** A producer that logs nothing, under a prefix of its own unless one is given. */
  producer(config: Partial<ProducerConfig> = {}): Producer {
    const producer = createProducer({ redisUrl: this.redis.url, logLevel: 'silent', keyPrefix: this.newPrefix(), ...config });
    this.#opened.push(() => producer.close());
    return producer;
  }

  /** What a producer or worker is built on. */
  store(config: Partial<ProducerConfig> = {}): Store {
    const settings = resolveSettings({ redisUrl: this.redis.url, logLevel: 'silent', keyPrefix: this.newPrefix(), ...config }) as ConnectedSettings;
    const store = openStore({ settings, policy: 'wait', loggers: createLoggerFactory({ settings }), name: 'test' });
    this.#opened.push(() => store.close());
    return store;
  }

  /** A worker with these handlers beside the built-in ones, taking tasks when this resolves. */
  async worker(keyPrefix: string, handlers: readonly TaskHandler[], config: Partial<WorkerConfig> = {}): Promise<FleetWorker> {
    const settings = { redisUrl: this.redis.url, logLevel: 'silent', keyPrefix, shutdownTimeoutMs: 0, stopGraceMs: 100, ...config } as const;
    const worker = await createWorker({ ...settings, handlers });
    this.#opened.push(() => worker.stop());
    await worker.start();
    await worker.ready();
    return worker;
  }

  async stop(): Promise<void> {
    for (const close of this.#opened.toReversed()) await close();
    await this.redis.stop();
  }

  /** How many entries each part of the registry has; all are 0 when nothing is live. */
  async registrySize(prefix: string): Promise<{ tasks: number; queues: number; live: number; items: number }> {
    const keys: Keys = createKeys(prefix);
    const [tasks, queues, live, items] = await Promise.all([
      this.client.hlen(keys.tasks),
      this.client.hlen(keys.taskQueues),
      this.client.zcard(keys.live),
      this.client.keys(keys.item('*')),
    ]);
    return { tasks, queues, live, items: items.length };
  }

  /**
   * Every command that the server runs, from now until `stop` is called: each as its words. `stop` leaves out what comes by
   * itself: handshakes, and counts for the metrics.
   */
  async monitor(): Promise<{ readonly commands: string[][]; stop(): Promise<string[][]> }> {
    const monitor = await Monitor.open(this.redis.port);
    const { commands } = monitor;
    const stop = async (): Promise<string[][]> => {
      const end = `end-${randomUUID()}`;
      await this.client.echo(end);
      await monitor.seen('echo', end);
      monitor.close();
      return commands.filter(([name = '', ...words]) => words[0] !== end && !HANDSHAKE.has(name) && !words.some((word) => word.includes(':metrics:')));
    };
    return { commands, stop };
  }

  /** How often each command was called since `CONFIG RESETSTAT`. */
  async commandCounts(): Promise<Record<string, number>> {
    const lines = (await this.client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g);
    return Object.fromEntries([...lines].map(([, name, calls]) => [name as string, Number(calls)]));
  }
}

/** What a connection sends when it is made. */
const HANDSHAKE: ReadonlySet<string> = new Set(['info', 'client', 'hello', 'auth', 'select']);

export const EMPTY_REGISTRY = { tasks: 0, queues: 0, live: 0, items: 0 };
