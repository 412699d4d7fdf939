import type { Redis } from 'ioredis';
import { type Keys, createKeys } from '../../../shared/keys.js';

export interface OpenWebuiPeerOptions {
  /** REDIS_TASK_TTL in seconds; 0 for none, as in older versions. Default 300. */
  readonly ttlS?: number;
  /** Whether it obeys stop commands. Default true. */
  readonly heeds?: boolean;
}

/**
 * A process that speaks the task protocol of the newest open-webui, without its code: a hash of tasks, a set for each item, an
 * expiring lease for each task; lists that delete tasks without a lease; a stop that publishes `task_id` and deletes at once.
 */
export class OpenWebuiPeer {
  /** Its own running tasks: id → item, `''` for none. */
  readonly running = new Map<string, string>();
  /** Every command received, in order. */
  readonly heard: string[] = [];
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #ttlS: number;

  private constructor(redis: Redis, keys: Keys, ttlS: number) {
    this.#redis = redis;
    this.#keys = keys;
    this.#ttlS = ttlS;
  }

  /** @param open opens its connections */
  static async start(open: () => Redis, prefix: string, { ttlS = 300, heeds = true }: OpenWebuiPeerOptions = {}): Promise<OpenWebuiPeer> {
    const keys = createKeys(prefix);
    const peer = new OpenWebuiPeer(open(), keys, ttlS);
    const subscriber = open();
    subscriber.on('message', (_channel, message) => peer.#hear(message, heeds));
    await subscriber.subscribe(keys.commands);
    return peer;
  }

  /** The hash of stream states, which no other program may touch. */
  get streams(): string {
    return `${this.#keys.prefix}:tasks:response_streams`;
  }

  async create(id: string, item = ''): Promise<void> {
    this.running.set(id, item);
    const writes = this.#redis.pipeline().hset(this.#keys.tasks, id, item).hset(this.streams, id, '{}');
    if (item !== '') writes.sadd(this.#keys.item(item), id);
    if (this.#ttlS > 0) writes.set(this.#keys.lease(id), '1', 'EX', this.#ttlS);
    await writes.exec();
  }

  /** Removes a task that has ended or was stopped. */
  async end(id: string): Promise<void> {
    const item = this.running.get(id) ?? '';
    this.running.delete(id);
    await this.#delete(id, item);
  }

  /** Renews the leases, as it does in every quarter of REDIS_TASK_TTL. */
  async beat(): Promise<void> {
    await Promise.all([...this.running.keys()].map((id) => this.#redis.expire(this.#keys.lease(id), this.#ttlS)));
  }

  async listTasks(): Promise<string[]> {
    return this.#prune(Object.entries(await this.#redis.hgetall(this.#keys.tasks)));
  }

  async listItem(item: string): Promise<string[]> {
    return this.#prune((await this.#redis.smembers(this.#keys.item(item))).map((id) => [id, item]));
  }

  async hasActive(item: string): Promise<boolean> {
    return (await this.listItem(item)).length > 0;
  }

  async stop(id: string): Promise<void> {
    const item = (await this.#redis.hget(this.#keys.tasks, id)) ?? '';
    await this.#redis.publish(this.#keys.commands, JSON.stringify({ action: 'stop', task_id: id }));
    await this.#delete(id, item);
  }

  async stopItem(item: string): Promise<void> {
    for (const id of await this.listItem(item)) await this.stop(id);
  }

  async #prune(listed: readonly (readonly [id: string, item: string])[]): Promise<string[]> {
    if (this.#ttlS === 0) return listed.map(([id]) => id);
    const leases = await Promise.all(listed.map(([id]) => this.#redis.exists(this.#keys.lease(id))));
    await Promise.all(listed.filter((_, index) => leases[index] === 0).map(([id, item]) => this.#delete(id, item)));
    return listed.flatMap(([id], index) => (leases[index] === 1 ? [id] : []));
  }

  async #delete(id: string, item: string): Promise<void> {
    const writes = this.#redis.pipeline().hdel(this.#keys.tasks, id).hdel(this.streams, id).del(this.#keys.lease(id));
    if (item !== '') writes.srem(this.#keys.item(item), id);
    await writes.exec();
  }

  #hear(message: string, heeds: boolean): void {
    this.heard.push(message);
    const { action, task_id: id } = JSON.parse(message) as { action?: unknown; task_id?: unknown };
    if (heeds && action === 'stop' && typeof id === 'string' && this.running.has(id)) void this.end(id);
  }
}
