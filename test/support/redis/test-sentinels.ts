import { Redis } from 'ioredis';
import { until } from '../until.js';
import { type ClientOptions, type TestRedis, type TestRedisOptions, startTestRedis } from './test-redis.js';

export interface TestSentinelsOptions extends Pick<TestRedisOptions, 'appendonly' | 'password' | 'users' | 'tls'> {
  /** How long a master may be silent before a sentinel considers it down, in ms. Default: 1,000. */
  readonly downAfterMs?: number;
  /** A failed failover is tried again after twice this time, in ms. Default: 5,000. */
  readonly failoverTimeoutMs?: number;
  /** Additional lines for each of the three servers, such as `min-replicas-to-write 1`. Default: none. */
  readonly config?: readonly string[];
}

/** The master's name at the sentinels. */
const NAME = 'fleet';
const QUORUM = 2;
/** A failover lasts `downAfterMs`, plus twice `failoverTimeoutMs` if the sentinels do not agree at once. */
const FAILOVER_LIMIT_MS = 60_000;
/** By default a master waits 5 s for more replicas before a sync. */
const SERVER_CONFIG = ['repl-diskless-sync-delay 0'];

/** A master, two replicas and three sentinels that watch them. */
export class TestSentinels {
  readonly name = NAME;
  /** `127.0.0.1:port,127.0.0.1:port,…` */
  readonly sentinelHosts: string;
  readonly #clients: Redis[] = [];
  readonly #questions = new Map<TestRedis, Redis>();

  private constructor(
    /** The servers; at the start, the first one is the master. */
    readonly nodes: readonly TestRedis[],
    readonly sentinels: readonly TestRedis[],
    private readonly options: TestSentinelsOptions,
  ) {
    this.sentinelHosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
  }

  /** Starts all of them. Resolves when the replicas have synced and each sentinel knows all other sentinels and servers. */
  static async start(options: TestSentinelsOptions = {}): Promise<TestSentinels> {
    const { downAfterMs = 1_000, failoverTimeoutMs = 5_000, config = [], ...server } = options;
    const { password, tls } = server;
    const started: TestRedis[] = [];
    const launch = async (how: TestRedisOptions): Promise<TestRedis> => {
      const one = await startTestRedis(how);
      started.push(one);
      return one;
    };
    try {
      const master = await launch({ ...server, config: [...SERVER_CONFIG, ...config] });
      const replica = { ...server, config: [...SERVER_CONFIG, `replicaof 127.0.0.1 ${master.port}`, ...config] };
      const watch = [
        `sentinel monitor ${NAME} 127.0.0.1 ${master.port} ${QUORUM}`,
        `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
        `sentinel failover-timeout ${NAME} ${failoverTimeoutMs}`,
        ...(password === undefined ? [] : [`sentinel auth-pass ${NAME} ${password}`]),
      ];
      const sentinel = { config: watch, extraArgs: ['--sentinel'], ...(tls === undefined ? {} : { tls }) };
      const [first, second] = await allOf([launch(replica), launch(replica)]);
      const client = master.client();
      await until(
        () => linkedReplicas(client),
        (count) => count === 2,
        { everyMs: 10 },
      );
      const sentinels = await allOf([launch(sentinel), launch(sentinel), launch(sentinel)]);
      const fleet = new TestSentinels([master, first, second] as TestRedis[], sentinels, options);
      await fleet.settled();
      return fleet;
    } catch (error) {
      await Promise.all(started.map((one) => one.stop()));
      throw error;
    }
  }

  /** Returns the master according to most sentinels. */
  async master(): Promise<TestRedis> {
    const ports = await Promise.all(this.sentinels.filter(({ running }) => running).map((sentinel) => this.#masterPortOf(sentinel)));
    const port = ports.find((one) => ports.filter((other) => other === one).length > ports.length / 2);
    const node = this.nodes.find((one) => one.port === port);
    if (node === undefined) throw new Error(`The sentinels disagree on the master: ${ports.join(', ')}`);
    return node;
  }

  /** Kills the master with SIGKILL. Returns the server, which stays down until `restart` is called on it. */
  async killMaster(): Promise<TestRedis> {
    const master = await this.master();
    await master.kill();
    return master;
  }

  /** Resolves when another server is the master, both by its own account and for every running sentinel. */
  async promoted(instead: TestRedis): Promise<TestRedis> {
    const sentinels = this.sentinels.filter(({ running }) => running);
    const ports = await until(
      () => Promise.all(sentinels.map((sentinel) => this.#masterPortOf(sentinel))),
      ([port, ...others]) => port !== instead.port && others.every((other) => other === port),
      { timeoutMs: FAILOVER_LIMIT_MS, everyMs: 20 },
    );
    const node = this.nodes.find(({ port }) => port === ports[0]) as TestRedis;
    await until(
      () => this.#ask(node).info('replication'),
      (info) => info.includes('role:master'),
      { everyMs: 20 },
    );
    return node;
  }

  /** Starts a server, or a sentinel, again. */
  restart(node: TestRedis): Promise<void> {
    return node.restart();
  }

  /** Opens a connection to the current master, closed by `stop`. */
  client(options: ClientOptions = {}): Redis {
    const { password, tls } = this.options;
    const client = new Redis({
      ...{
        sentinels: this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port })),
        name: NAME,
        protocol: 2,
        maxRetriesPerRequest: null,
      },
      ...{ retryStrategy: () => 20, sentinelRetryStrategy: () => 20, sentinelReconnectStrategy: () => 20 },
      // The old master has become a replica.
      reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls: tls.client, sentinelTLS: tls.client, enableTLSForSentinelMode: true }),
      ...options,
    });
    client.on('error', () => undefined);
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await Promise.all([...this.sentinels, ...this.nodes].map((one) => one.stop()));
  }

  /** Resolves when each sentinel knows all other sentinels and servers, and every replica is linked to the master. */
  async settled(): Promise<void> {
    await until(
      () => Promise.all(this.sentinels.map((sentinel) => knownTo(this.#ask(sentinel)))),
      (views) => views.every((view) => view === 'complete'),
      { timeoutMs: 30_000, everyMs: 20 },
    );
  }

  async #masterPortOf(sentinel: TestRedis): Promise<number> {
    const [, port] = (await this.#ask(sentinel).call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as [string, string];
    return Number(port);
  }

  /** Opens a connection that fails instead of waiting for a dead server. */
  #ask(node: TestRedis): Redis {
    const client = this.#questions.get(node) ?? node.client({ maxRetriesPerRequest: 1 });
    this.#questions.set(node, client);
    return client;
  }
}

/** Returns 'complete' or what is missing: a sentinel only promotes a known replica with a working link. */
async function knownTo(sentinel: Redis): Promise<string> {
  const master = recordOf((await sentinel.call('SENTINEL', 'MASTER', NAME)) as string[]);
  const replicas = ((await sentinel.call('SENTINEL', 'REPLICAS', NAME)) as string[][]).map(recordOf);
  const links = replicas.map((replica) => `${replica['flags']} ${replica['master-link-status']}`);
  const complete = master['flags'] === 'master' && master['num-other-sentinels'] === '2' && links.join() === 'slave ok,slave ok';
  return complete
    ? 'complete'
    : `master ${master['flags']}, ${master['num-other-sentinels']} other sentinels, replicas ${links.join(', ')}`;
}

async function linkedReplicas(master: Redis): Promise<number> {
  return (await master.info('replication')).match(/^slave\d+:.*state=online/gm)?.length ?? 0;
}

function recordOf(fields: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: fields.length / 2 }, (_, index) => [fields[2 * index] as string, fields[2 * index + 1] as string]),
  );
}

/** Does what `Promise.all` does, but rejects only after all have settled: then every started process is known. */
async function allOf<Value>(promises: readonly Promise<Value>[]): Promise<Value[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
