import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Producer, type ProducerConfig } from '../../../producer/index.js';
import { type Keys, createKeys } from '../../../shared/keys.js';
import { type LoggerFactory, createLoggerFactory } from '../../../shared/log/logger.js';
import { isShared } from '../../../shared/reserved-ids.js';
import { type ScriptedRedis, defineScripts } from '../../../shared/scripts/define-scripts.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { type ConnectedSettings, type StepHook, type Store, openStore } from '../../../shared/store.js';
import type { TaskHandler } from '../../../shared/task/handler.js';
import { type FleetWorker, type WorkerConfig, openWorker } from '../../../worker/worker.js';
import { ClusterRedis } from '../redis/cluster-redis.js';
import { Monitor } from '../redis/monitor.js';
import { type TestRedis, type TestRedisOptions, startTestRedis } from '../redis/test-redis.js';
import { until } from '../until.js';

/** A hook between the steps of a producer or worker. */
interface Hooked {
  readonly onStep?: StepHook;
}

/** A Redis with the producers and workers of a test. `stop` closes everything in an order in which each part ends cleanly. */
export class TestFleet {
  /** A client to inspect Redis. */
  readonly client: Redis;
  readonly #opened: (() => Promise<unknown>)[] = [];
  #nodes: Redis[] | null = null;
  #scripted: ScriptedRedis | null = null;

  private constructor(readonly redis: TestRedis) {
    this.client = redis.client();
  }

  /** Starts on one redis-server, or on a cluster of six with `TEST_TOPOLOGY=cluster`: see `npm run test:cluster`. */
  static async start(options?: TestRedisOptions): Promise<TestFleet> {
    return new TestFleet(await (process.env['TEST_TOPOLOGY'] === 'cluster' ? ClusterRedis.start(options) : startTestRedis(options)));
  }

  /** Starts on one redis-server in any case, for tests about a single server. */
  static async onOneServer(options?: TestRedisOptions): Promise<TestFleet> {
    return new TestFleet(await startTestRedis(options));
  }

  /** A client with our scripts. */
  get scripted(): ScriptedRedis {
    this.#scripted ??= defineScripts(this.redis.client());
    return this.#scripted;
  }

  /** Settings for connections to this Redis. */
  get settings(): { readonly redisUrl: string; readonly cluster: boolean } {
    return { redisUrl: this.redis.url, cluster: this.redis.topology === 'cluster' };
  }

  keys(prefix: string): Keys {
    return createKeys(prefix, this.settings.cluster);
  }

  /** Sends a command to every server. */
  onEach<Reply>(command: (client: Redis) => Promise<Reply>): Promise<Reply[]> {
    this.#nodes ??= this.redis.nodes.map((node) => node.client());
    return Promise.all(this.#nodes.map(command));
  }

  /** Returns a unique prefix for one test. */
  newPrefix(): string {
    return `t${randomUUID().slice(0, 8)}`;
  }

  /** Opens a producer that logs nothing. Default prefix: a new one. */
  producer({ onStep, ...config }: Partial<ProducerConfig> & Hooked = {}): Producer {
    const producer = new Producer({ ...this.settings, logLevel: 'silent', keyPrefix: this.newPrefix(), ...config }, onStep);
    this.#opened.push(() => producer.close());
    return producer;
  }

  /** Opens a store. Logs nothing unless loggers are given. */
  store(config: Partial<ProducerConfig> = {}, loggers?: LoggerFactory): Store {
    const settings = resolveSettings({ ...this.settings, logLevel: 'silent', keyPrefix: this.newPrefix(), ...config }) as ConnectedSettings;
    const store = openStore({ settings, policy: 'wait', loggers: loggers ?? createLoggerFactory({ settings }), name: 'test' });
    this.#opened.push(() => store.close());
    return store;
  }

  /** Starts a worker with these handlers and the built-in ones. Resolves when it takes tasks. */
  async worker(
    keyPrefix: string,
    handlers: readonly TaskHandler[],
    { onStep, ...config }: Partial<WorkerConfig> & Hooked = {},
  ): Promise<FleetWorker> {
    const settings = { ...this.settings, logLevel: 'silent', keyPrefix, shutdownTimeoutMs: 0, stopGraceMs: 100, ...config } as const;
    const worker = await openWorker({ ...settings, handlers }, onStep);
    this.#opened.push(() => worker.stop());
    await worker.start();
    await worker.ready();
    return worker;
  }

  async stop(): Promise<void> {
    for (const close of this.#opened.toReversed()) await close();
    await this.redis.stop();
  }

  /** Returns the keys of a prefix without the id of the fleet, which the first process of a fleet writes. */
  async written(prefix: string): Promise<string[]> {
    const { fleet } = this.keys(prefix);
    return (await this.onEach((client) => client.keys(`${prefix}:*`))).flat().filter((key) => key !== fleet);
  }

  /** Returns the sizes of the registry's parts; all are 0 without live tasks. */
  async registrySize(prefix: string): Promise<{ tasks: number; queues: number; live: number; items: number; leases: number }> {
    const keys = this.keys(prefix);
    const named = async (pattern: string): Promise<string[]> => (await this.onEach((client) => client.keys(pattern))).flat();
    const [tasks, queues, live, ours, shared, below] = await Promise.all([
      this.client.hlen(keys.tasks),
      this.client.hlen(keys.taskQueues),
      this.client.zcard(keys.live),
      named(keys.ownItem('*')),
      named(keys.item('*')),
      named(keys.lease('*')),
    ]);
    const items = new Set([
      ...ours.map((key) => key.slice(keys.ownItem('').length)),
      ...shared.map((key) => key.slice(keys.item('').length)),
    ]);
    const leases = new Set(below.map((key) => key.slice(keys.lease('').length)).filter(isShared));
    return { tasks, queues, live, items: items.size, leases: leases.size };
  }

  /** Resolves when no task is live. */
  async emptied(prefix: string): Promise<void> {
    await until(
      () => this.registrySize(prefix),
      (sizes) => Object.values(sizes).every((size) => size === 0),
    );
  }

  /**
   * Records every command that the server runs until `stop` is called, as a list of words. `stop` leaves out background commands:
   * handshakes, counts for the metrics, published definitions, and each process's reads of its fleet.
   */
  async monitor(): Promise<{ readonly commands: string[][]; stop(): Promise<string[][]> }> {
    const monitor = await Monitor.open(this.redis.port);
    const { commands } = monitor;
    const stop = async (): Promise<string[][]> => {
      const end = `end-${randomUUID()}`;
      await this.client.echo(end);
      await monitor.seen('echo', end);
      monitor.close();
      return commands.filter(
        ([name = '', ...words]) =>
          words[0] !== end && !HANDSHAKE.has(name) && !words.some((word) => /:metrics:|:fleet$|:definitions/.test(word)),
      );
    };
    return { commands, stop };
  }

  /** Returns the number of calls per command since `CONFIG RESETSTAT`. */
  async commandCounts(): Promise<Record<string, number>> {
    const lines = (await this.client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g);
    return Object.fromEntries([...lines].map(([, name, calls]) => [name as string, Number(calls)]));
  }
}

/** The commands of a new connection. */
const HANDSHAKE: ReadonlySet<string> = new Set(['info', 'client', 'hello', 'auth', 'select', 'time']);

export const EMPTY_REGISTRY = { tasks: 0, queues: 0, live: 0, items: 0, leases: 0 };
