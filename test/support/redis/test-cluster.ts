import { Cluster, type ClusterOptions, type Redis } from 'ioredis';
import { until } from '../until.js';
import { type ClientOptions, type TestRedis, type TestRedisOptions, startTestRedis } from './test-redis.js';

export interface TestClusterOptions extends Pick<TestRedisOptions, 'appendonly' | 'password' | 'users' | 'tls'> {
  /** How long a master may be silent before the others consider it down, in ms. Default: 2,000. */
  readonly nodeTimeoutMs?: number;
  /** Additional configuration lines of each node, such as `appendfsync always`. Default: none. */
  readonly config?: readonly string[];
}

export interface ClusterClientOptions extends Omit<ClusterOptions, 'redisOptions'> {
  /** Options of the connections to the nodes. */
  readonly redisOptions?: ClientOptions;
}

export interface MigrateSlotOptions {
  /** The new owner of the slot. Default: the master after its owner. */
  readonly to?: TestRedis;
  /** Keys per MIGRATE; the owner runs no other command meanwhile. Default: 100. */
  readonly keysAtOnce?: number;
}

const MASTERS = 3;
const SLOTS = 16_384;
const BUS_OFFSET = 10_000;
/** Keeps the ports of the cluster bus below the ephemeral ports too. */
const PORTS_BELOW = 32_000 - BUS_OFFSET;
const START_LIMIT_MS = 60_000;
const FAILOVER_LIMIT_MS = 60_000;
const MIGRATE_TIMEOUT_MS = 5_000;

/** A master as listed by a node: its id and its slot ranges. */
interface Owner {
  readonly id: string;
  readonly port: number;
  readonly ranges: readonly (readonly [first: number, last: number])[];
}

/** A Redis Cluster of three masters with one replica each. */
export class TestCluster {
  /** At the start, the first three are masters, the others their replicas in the same order. */
  readonly nodes: readonly TestRedis[];
  /** The URL of the first node. */
  readonly url: string;
  /** Of all nodes. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly #clients: Cluster[] = [];
  readonly #questions: ReadonlyMap<TestRedis, Redis>;

  private constructor(
    nodes: readonly TestRedis[],
    private readonly options: TestClusterOptions,
  ) {
    this.nodes = nodes;
    this.url = (nodes[0] as TestRedis).url;
    this.hosts = nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
    // These connections fail instead of waiting for a dead node.
    this.#questions = new Map(nodes.map((node) => [node, node.client({ maxRetriesPerRequest: 1 })]));
  }

  /** Starts a cluster. Resolves when every node reports it complete and every replica has synced. */
  static async start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const { nodeTimeoutMs = 2_000, config = [], ...server } = options;
    const how = {
      ...server,
      portsBelow: PORTS_BELOW,
      // By default a master waits 5 s for more replicas before a sync.
      config: ['cluster-enabled yes', `cluster-node-timeout ${nodeTimeoutMs}`, 'repl-diskless-sync-delay 0', ...config],
    };
    const starts = await Promise.allSettled(Array.from({ length: 2 * MASTERS }, () => startTestRedis(how)));
    const nodes = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    try {
      const failed = starts.find((start) => start.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      const cluster = new TestCluster(nodes, options);
      await cluster.#join();
      await cluster.complete();
      return cluster;
    } catch (error) {
      await Promise.all(nodes.map((node) => node.stop()));
      throw error;
    }
  }

  /** Resolves when every running node reports `cluster_state:ok` and an owner for each slot, and every running replica has its master. */
  async complete(): Promise<void> {
    await until(
      () => Promise.all(this.#running().map((node) => this.#problemOf(node))),
      (problems) => problems.every((problem) => problem === null),
      {
        timeoutMs: FAILOVER_LIMIT_MS,
        everyMs: 20,
      },
    );
  }

  /** Returns the master of a key's slot, according to the running nodes. */
  async masterOf(key: string): Promise<TestRedis> {
    return this.#ownerOf(await this.slotOf(key));
  }

  /** Returns the slot of a key: 0 to 16,383. */
  async slotOf(key: string): Promise<number> {
    return this.#anyone().cluster('KEYSLOT', key);
  }

  /** Kills the master of a key with SIGKILL. Returns the node, which stays down until `restart` is called on it. */
  async killMasterOf(key: string): Promise<TestRedis> {
    const master = await this.masterOf(key);
    await master.kill();
    return master;
  }

  /** Resolves when another node than this one owns the slot of the key, and the cluster is complete again. */
  async promoted(key: string, instead: TestRedis): Promise<TestRedis> {
    const slot = await this.slotOf(key);
    const isOther = (node: TestRedis | null): boolean => node !== null && node !== instead;
    await until(() => this.#ownerOf(slot).catch(() => null), isOther, { timeoutMs: FAILOVER_LIMIT_MS, everyMs: 20 });
    await this.complete();
    return this.#ownerOf(slot);
  }

  /**
   * Moves a slot with its keys to another master while clients go on. Returns the new owner.
   */
  async migrateSlot(slot: number, { to, keysAtOnce = 100 }: MigrateSlotOptions = {}): Promise<TestRedis> {
    const owners = await this.#owners();
    const from = await this.#ownerOf(slot);
    const next = owners[(owners.findIndex(({ port }) => port === from.port) + 1) % owners.length] as Owner;
    const target = to ?? this.#nodeAt(next.port);
    const [source, destination] = [this.#ask(from), this.#ask(target)];
    const [sourceId, targetId] = await Promise.all([source.cluster('MYID'), destination.cluster('MYID')]);
    await destination.cluster('SETSLOT', slot, 'IMPORTING', sourceId);
    await source.cluster('SETSLOT', slot, 'MIGRATING', targetId);
    const { password } = this.options;
    const auth = password === undefined ? [] : ['AUTH', password];
    for (;;) {
      const keys = await source.cluster('GETKEYSINSLOT', slot, keysAtOnce);
      if (keys.length === 0) break;
      await source.call('MIGRATE', '127.0.0.1', target.port, '', 0, MIGRATE_TIMEOUT_MS, ...auth, 'KEYS', ...keys);
    }
    // The new owner first: otherwise the slot has no owner for a moment.
    for (const node of new Set([target, from, ...owners.map(({ port }) => this.#nodeAt(port))]))
      await this.#ask(node).cluster('SETSLOT', slot, 'NODE', targetId);
    return target;
  }

  /** Starts a node again. */
  restart(node: TestRedis): Promise<void> {
    return node.restart();
  }

  /** Opens a connection that survives redirections and failovers without losing a command; `stop` closes it. */
  client({ redisOptions, ...options }: ClusterClientOptions = {}): Cluster {
    const { password, tls } = this.options;
    const client = new Cluster([...this.hosts], {
      ...{
        maxRedirections: 100,
        retryDelayOnFailover: 200,
        retryDelayOnClusterDown: 200,
        retryDelayOnMoved: 100,
        slotsRefreshTimeout: 2_000,
      },
      clusterRetryStrategy: () => 100,
      ...options,
      redisOptions: {
        protocol: 2,
        maxRetriesPerRequest: null,
        ...(password === undefined ? {} : { password }),
        ...(tls === undefined ? {} : { tls: tls.client }),
        ...redisOptions,
      },
    });
    client.on('error', () => undefined);
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  async #join(): Promise<void> {
    const masters = this.nodes.slice(0, MASTERS);
    // Different from the start, so that nodes need not settle who is right; a node that knows another one refuses it.
    await Promise.all(this.nodes.map((node, index) => this.#ask(node).cluster('SET-CONFIG-EPOCH', index + 1)));
    // Every pair of nodes meets: gossip would take seconds.
    await Promise.all(
      this.nodes.map(async (node) => {
        for (const other of this.nodes) if (other !== node) await this.#ask(node).cluster('MEET', '127.0.0.1', other.port);
      }),
    );
    await Promise.all(
      masters.map((master, index) => {
        const [first, end] = [index, index + 1].map((part) => Math.ceil((part * SLOTS) / MASTERS)) as [number, number];
        return this.#ask(master).cluster('ADDSLOTS', ...Array.from({ length: end - first }, (_, slot) => first + slot));
      }),
    );
    await Promise.all(
      this.nodes.slice(MASTERS).map(async (replica, index) => {
        const id = await this.#ask(masters[index] as TestRedis).cluster('MYID');
        const replicate = (): Promise<unknown> =>
          this.#ask(replica)
            .cluster('REPLICATE', id)
            .catch((error: Error) => error.message);
        await until(replicate, (answer) => answer === 'OK', { timeoutMs: START_LIMIT_MS, everyMs: 20 });
      }),
    );
  }

  async #problemOf(node: TestRedis): Promise<string | null> {
    const client = this.#ask(node);
    const [cluster, replication, owners] = await Promise.all([client.cluster('INFO'), client.info('replication'), ownersBy(client)]);
    if (!cluster.includes('cluster_state:ok')) return `${node.port}: cluster_state is not ok`;
    if (owners.some(({ port }) => !this.#nodeAt(port).running)) return `${node.port}: unaware of a dead master`;
    if (replication.includes('role:slave') && !replication.includes('master_link_status:up'))
      return `${node.port}: has no link to its master`;
    const own = owners.find(({ port }) => port === node.port);
    return replication.includes('role:master') && own === undefined ? `${node.port}: a master without slots` : null;
  }

  async #ownerOf(slot: number): Promise<TestRedis> {
    const owner = (await this.#owners()).find(({ ranges }) => ranges.some(([first, last]) => slot >= first && slot <= last));
    if (owner === undefined) throw new Error(`Slot ${slot} has no owner`);
    return this.#nodeAt(owner.port);
  }

  #owners(): Promise<Owner[]> {
    return ownersBy(this.#anyone());
  }

  #nodeAt(port: number): TestRedis {
    const node = this.nodes.find((one) => one.port === port);
    if (node === undefined) throw new Error(`No node of this cluster has port ${port}`);
    return node;
  }

  #running(): TestRedis[] {
    return this.nodes.filter(({ running }) => running);
  }

  #anyone(): Redis {
    return this.#ask(this.#running()[0] as TestRedis);
  }

  #ask(node: TestRedis): Redis {
    return this.#questions.get(node) as Redis;
  }
}

type SlotRange = [first: number, last: number, master: [host: string, port: number, id: string], ...replicas: unknown[]];

/** Returns the masters with their slots according to one node, in slot order. */
async function ownersBy(client: Redis): Promise<Owner[]> {
  const owners = new Map<string, { id: string; port: number; ranges: [number, number][] }>();
  for (const [first, last, [, port, id]] of (await client.call('CLUSTER', 'SLOTS')) as SlotRange[]) {
    const owner = owners.get(id) ?? { id, port, ranges: [] };
    owners.set(id, { ...owner, ranges: [...owner.ranges, [first, last]] });
  }
  return [...owners.values()];
}
