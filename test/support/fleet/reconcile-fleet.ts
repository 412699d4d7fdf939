import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import type { Keys } from '../../../shared/keys.js';
import type { Store } from '../../../shared/store.js';
import { defineTask } from '../../../shared/task/definition.js';
import type { RegistryReconcileOutput } from '../../../worker/builtin/definitions.js';
import { Reconciler } from '../../../worker/builtin/reconcile/reconciler.js';
import { KEEP } from '../task/keep.js';
import { type LogLine, LogLines } from './log-lines.js';
import type { TestFleet } from './test-fleet.js';

/** A task without a worker. */
export const reconciledTask = defineTask({ name: 'rec.task', input: z.object({}), retention: KEEP });

/** How long an entry may lack its job. */
export const GRACE_MS = 10_000;

/** A fleet without workers: tests write the state left by a crash, and run the reconciler. */
export class ReconcileFleet {
  readonly log = new LogLines();
  readonly store: Store;
  readonly producer: Producer;
  readonly keys: Keys;

  constructor(readonly fleet: TestFleet) {
    const keyPrefix = fleet.newPrefix();
    this.store = fleet.store({ keyPrefix }, this.log.loggers);
    this.producer = fleet.producer({ keyPrefix });
    this.keys = this.store.keys;
  }

  get jobs(): string {
    return this.keys.jobs('rec');
  }

  reconciler(limit?: number): Reconciler {
    return new Reconciler({
      store: this.store,
      graceMs: GRACE_MS,
      logger: this.log.loggers('worker'),
      ...(limit !== undefined && { limit }),
    });
  }

  /** Runs the reconciler once. Returns its counts other than 0. */
  async run(limit?: number): Promise<Partial<RegistryReconcileOutput>> {
    const { took_ms: _, ...counts } = await this.reconciler(limit).run();
    return Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0));
  }

  /** Returns the log lines about an unreadable key. */
  reports(key: string): LogLine[] {
    return this.log.find(/Cannot read a record/).filter((line) => line['key'] === key);
  }

  async enqueue(options: Parameters<Producer['enqueue']>[2] = {}): Promise<string> {
    return (await this.producer.enqueue(reconciledTask, {}, options)).id;
  }

  /** Adds an entry as a registration does, `ageMs` old; null for an unknown age. */
  async register(id: string, { item = '', ageMs = 3_600_000 }: { item?: string; ageMs?: number | null } = {}): Promise<void> {
    const { client } = this.fleet;
    await client.hset(this.keys.taskQueues, id, 'rec');
    await client.hset(this.keys.tasks, id, item);
    if (ageMs !== null) await client.zadd(this.keys.live, Date.now() - ageMs, id);
    if (item !== '') await client.multi().sadd(this.keys.ownItem(item), id).sadd(this.keys.item(item), id).exec();
  }

  async unregister(id: string, item = ''): Promise<void> {
    const { client } = this.fleet;
    await client
      .multi()
      .hdel(this.keys.taskQueues, id)
      .hdel(this.keys.tasks, id)
      .zrem(this.keys.live, id)
      .srem(this.keys.ownItem(item), id)
      .srem(this.keys.item(item), id)
      .exec();
  }

  /** Returns everything in the registry about a task. */
  async entry(id: string, item = ''): Promise<unknown[]> {
    const { client } = this.fleet;
    const [queue, registered, score, member] = await Promise.all([
      client.hget(this.keys.taskQueues, id),
      client.hget(this.keys.tasks, id),
      client.zscore(this.keys.live, id),
      client.sismember(this.keys.item(item), id),
    ]);
    return [queue, registered, score !== null, member === 1];
  }

  /** Moves a waiting job to a worker of this name, as BullMQ does. Without a lock, the worker has been silent for long. */
  async activate(id: string, { worker, locked }: { worker: string; locked: boolean }): Promise<void> {
    const move = this.fleet.client
      .multi()
      .lrem(`${this.jobs}wait`, 1, id)
      .lpush(`${this.jobs}active`, id)
      .hset(this.jobs + id, { processedOn: Date.now(), pb: worker, ats: 1 });
    if (locked) move.set(`${this.jobs}${id}:lock`, 'its token', 'PX', 60_000);
    await move.exec();
  }

  /** Lists a worker with a live or an expired heartbeat. */
  async worker(id: string, { alive }: { alive: boolean }): Promise<void> {
    await this.fleet.client.zadd(this.keys.workers, Date.now(), id);
    if (alive) await this.fleet.client.hset(this.keys.worker(id), 'pid', 1);
  }
}
