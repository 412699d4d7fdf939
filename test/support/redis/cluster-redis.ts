import assert from 'node:assert/strict';
import type { Redis } from 'ioredis';
import { TestCluster } from './test-cluster.js';
import type { ClientOptions, TestRedis, TestRedisOptions } from './test-redis.js';

/** A cluster in place of one redis-server, for tests that do not depend on the topology. */
export class ClusterRedis implements TestRedis {
  readonly topology = 'cluster';
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  readonly nodes: readonly TestRedis[];
  #stopping: Promise<void> | null = null;

  private constructor(readonly cluster: TestCluster) {
    const first = cluster.nodes[0] as TestRedis;
    this.url = first.url;
    this.port = first.port;
    this.dir = first.dir;
    this.nodes = cluster.nodes;
  }

  static async start({ extraArgs = [], ...options }: TestRedisOptions = {}): Promise<ClusterRedis> {
    if (extraArgs.length > 0) throw new Error('Expected configuration lines for the nodes of a cluster, got arguments');
    return new ClusterRedis(await TestCluster.start(options));
  }

  get pid(): number {
    return this.#first.pid;
  }

  get running(): boolean {
    return this.nodes.every(({ running }) => running);
  }

  /** A connection to all nodes, with the commands of a connection to a single server. */
  client(options: ClientOptions = {}): Redis {
    return this.cluster.client({ redisOptions: options }) as unknown as Redis;
  }

  /** @throws if any client sent a command with keys of different slots */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    try {
      await this.#checkSlots();
    } finally {
      await this.cluster.stop();
    }
  }

  async #checkSlots(): Promise<void> {
    const running = this.nodes.filter((node) => node.running);
    const errors = await Promise.all(running.map((node) => node.client().info('errorstats')));
    assert.doesNotMatch(errors.join('\n'), /CROSSSLOT/);
  }

  /** Summed over all nodes. */
  async kill(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  /** Restarts all nodes; resolves when the cluster is complete again. */
  async restart(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.restart()));
    await this.cluster.complete();
  }

  get #first(): TestRedis {
    return this.nodes[0] as TestRedis;
  }
}
