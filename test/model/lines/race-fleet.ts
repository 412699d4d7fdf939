import { randomUUID } from 'node:crypto';
import { Worker } from 'bullmq';
import type { Producer } from '../../../producer/index.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings, Store } from '../../../shared/store.js';
import { Reconciler } from '../../../worker/builtin/reconcile/reconciler.js';
import { Launcher } from '../../../worker/launcher.js';
import type { TestFleet } from '../../support/fleet/test-fleet.js';
import { Audit } from './audit.js';
import { QUEUE, handlersOf } from './race-tasks.js';

interface RaceWorker {
  readonly id: string;
  /** Its Redis user: deleted, the worker cannot reach Redis. */
  readonly user: string;
  readonly launcher: Launcher;
}

const WORKERS = 3;
const SLOTS = 4;
const LONG_MS = 3_600_000;

/** Three workers and a producer, shared by consecutive runs. */
export class RaceFleet {
  readonly store: Store;
  readonly producer: Producer;
  readonly audit: Audit;
  readonly #prefix: string;
  readonly #stalls: Worker;
  readonly #logger = createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) })('worker');
  readonly #alive: RaceWorker[] = [];
  /** Frozen, or gone: their locks have expired, and what they write is refused. */
  #dead: RaceWorker[] = [];
  readonly #closing: Promise<unknown>[] = [];

  private constructor(private readonly fleet: TestFleet) {
    this.#prefix = fleet.newPrefix();
    this.store = fleet.store({ keyPrefix: this.#prefix });
    this.producer = fleet.producer({ keyPrefix: this.#prefix });
    this.audit = new Audit(fleet.client, `audit-${this.#prefix}:`, this.store.keys.limiter('places:'));
    // Used only for its check of stalled jobs, a regular duty of every worker.
    this.#stalls = new Worker(QUEUE, null, {
      connection: this.store.redis,
      prefix: this.store.keys.bull(QUEUE),
      autorun: false,
      maxStalledCount: 1_000_000,
      stalledInterval: 500,
    });
    this.#stalls.on('error', () => undefined);
  }

  static async open(fleet: TestFleet): Promise<RaceFleet> {
    const race = new RaceFleet(fleet);
    await Promise.all(Array.from({ length: WORKERS }, () => race.#startWorker()));
    return race;
  }

  get hasDead(): boolean {
    return this.#dead.length > 0;
  }

  async #startWorker(): Promise<void> {
    const id = `worker-${randomUUID()}`;
    const user = `u-${id}`;
    await this.#admit(user);
    const settings = resolveSettings({
      ...{ redisUrl: this.fleet.redis.url.replace('redis://', `redis://${user}:x@`), keyPrefix: this.#prefix, logLevel: 'silent' },
      ...{ concurrency: SLOTS, reconnectDelayMs: 20, stopPollMs: 50, stopGraceMs: 5_000, shutdownTimeoutMs: 0, reconcileMs: LONG_MS },
      ...{ stalledCheckMs: 60_000, lockMs: 60_000 },
    }) as ConnectedSettings;
    const launcher = new Launcher({
      ...{ workerId: id, pid: 1, settings, loggers: createLoggerFactory({ settings }), producer: this.producer },
      ...{ hooks: [], telemetry: null, use: [], handlers: handlersOf(this.audit, id) },
    });
    this.#alive.push({ id, user, launcher });
    await launcher.start();
    await launcher.ready();
  }

  async #admit(user: string): Promise<void> {
    await this.fleet.client.acl('SETUSER', user, 'on', '>x', '~*', '&*', '+@all');
  }

  /** Cuts a worker off and lets its locks expire. Its handlers go on, as in a frozen process that thaws too late. */
  async kill(pick: number): Promise<void> {
    const [worker] = this.#alive.splice(pick % this.#alive.length, 1) as [RaceWorker];
    await this.fleet.client.acl('DELUSER', worker.user);
    await this.audit.died(worker.id);
    this.#dead.push(worker);
    await this.fleet.client.del(this.store.keys.worker(worker.id));
    await this.expireLocks();
    await this.#startWorker();
  }

  /** Stops a worker, which requeues its tasks, and starts another one. */
  async replace(pick: number): Promise<void> {
    const [worker] = this.#alive.splice(pick % this.#alive.length, 1) as [RaceWorker];
    await this.#startWorker();
    await worker.launcher.stop();
    await this.fleet.client.acl('DELUSER', worker.user);
  }

  /** Lets the locks of dead workers expire, with `settling` also those of stops, and returns their tasks to the queue. */
  async expireLocks({ settling = false } = {}): Promise<void> {
    const { client } = this.fleet;
    const jobs = this.store.keys.jobs(QUEUE);
    for (const id of await client.lrange(`${jobs}active`, 0, -1)) {
      const [owner, lock] = await Promise.all([client.hget(jobs + id, 'pb'), client.get(`${jobs}${id}:lock`)]);
      const isSettled = lock?.startsWith('stop:') ?? false;
      if (isSettled ? settling : this.#dead.some((worker) => worker.id === owner)) await client.del(`${jobs}${id}:lock`);
    }
    // BullMQ takes a job as stalled at the second check.
    for (let look = 0; look < 2; look += 1) {
      await this.store.redis.del(`${jobs}stalled-check`);
      await this.#stalls.getBackend().moveStalledJobsToWait();
    }
  }

  async reconcile(graceMs: number): Promise<void> {
    const reconciler = new Reconciler({ store: this.store, graceMs, logger: this.#logger });
    while (!(await reconciler.run()).complete);
  }

  /** Stops dead workers, which turn out to be only disconnected. */
  async bury(): Promise<void> {
    for (const { id, user, launcher } of this.#dead) {
      await this.fleet.client.zrem(this.store.keys.workers, id);
      await this.#admit(user);
      const ended = launcher.stop().then(() => this.fleet.client.acl('DELUSER', user));
      this.#closing.push(ended);
    }
    this.#dead = [];
  }

  async close(): Promise<void> {
    await this.bury();
    await Promise.all([...this.#closing, ...this.#alive.map(({ launcher }) => launcher.stop())]);
    await this.#stalls.close();
  }
}
