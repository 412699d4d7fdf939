import type { Keys } from '../../shared/keys.js';
import type { ScriptedRedis } from '../../shared/scripts/define-scripts.js';
import type { TaskBook } from './task-book.js';

/** The commands of Redis that the parts of a producer run beside those about tasks: a few hashes and texts, and reads of the book. */
export class FakeRedis {
  readonly status = 'ready';
  readonly isCluster = false;
  readonly #hashes = new Map<string, Map<string, string>>();
  readonly #texts = new Map<string, string>();

  constructor(
    private readonly book: TaskBook,
    private readonly keys: Keys,
  ) {}

  /** Returns the commands as a connection; any other command is refused by name. */
  asConnection(): ScriptedRedis {
    return unsupportedBeyond(this, 'the Redis command') as unknown as ScriptedRedis;
  }

  clear(): void {
    this.#hashes.clear();
    this.#texts.clear();
  }

  async ping(): Promise<string> {
    return 'PONG';
  }

  async hset(key: string, field: string, value: string): Promise<number> {
    const hash = this.#hashes.get(key) ?? new Map<string, string>();
    this.#hashes.set(key, hash.set(field, value));
    return 1;
  }

  async hget(key: string, field: string): Promise<string | null> {
    return this.#hashes.get(key)?.get(field) ?? null;
  }

  async hgetall(key: string): Promise<Record<string, string>> {
    return Object.fromEntries(this.#hashes.get(key) ?? []);
  }

  async hkeys(key: string): Promise<string[]> {
    return [...(this.#hashes.get(key)?.keys() ?? [])];
  }

  async hdel(key: string, field: string): Promise<number> {
    return this.#hashes.get(key)?.delete(field) ? 1 : 0;
  }

  /** Whether a queue is paused: the only hash that is asked so. */
  async hexists(key: string, field: string): Promise<number> {
    const isPaused = [...this.book.pauses.keys()].some((queue) => key === `${this.keys.jobs(queue)}meta`);
    return field === 'paused' && isPaused ? 1 : 0;
  }

  async set(key: string, text: string): Promise<'OK'> {
    this.#texts.set(key, text);
    return 'OK';
  }

  async get(key: string): Promise<string | null> {
    return this.#texts.get(key) ?? null;
  }

  async del(key: string): Promise<number> {
    return this.#texts.delete(key) ? 1 : 0;
  }

  async touchUsage(pool: string, model: string, session: string): Promise<'added' | 'refreshed'> {
    const before = JSON.parse((await this.hget(pool, model)) ?? '{}') as Record<string, unknown>;
    await this.hset(pool, model, JSON.stringify({ ...before, [session]: { updated_at: Math.floor(this.book.now() / 1_000) } }));
    return session in before ? 'refreshed' : 'added';
  }

  /** @param from `(<id>`, exclusive */
  async xrange(key: string, from: string): Promise<[id: string, fields: readonly string[]][]> {
    const after = from.slice(1);
    const entries = this.book.entries(key);
    const start = after === '0-0' ? 0 : entries.findIndex(({ id }) => id === after) + 1;
    return entries.slice(start).map(({ id, fields }) => [id, fields]);
  }

  async xrevrange(key: string): Promise<[id: string, fields: readonly string[]][]> {
    return this.book
      .entries(key)
      .slice(-1)
      .map(({ id, fields }) => [id, fields]);
  }

  async readLog(job: string, _log: string, after: number, limit: number): Promise<unknown[]> {
    const task = [...this.book.tasks.values()].find(({ queue, id }) => this.keys.jobs(queue) + id === job);
    if (!task) return ['missing'];
    return [task.isLive ? 'live' : 'ended', 0, task.lines.length, after, ...task.lines.slice(after, after + limit)];
  }
}

/** Returns the object, whose unknown properties throw an error with their name. */
export function unsupportedBeyond<Known extends object>(known: Known, what: string): Known {
  return new Proxy(known, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (value !== undefined || typeof name === 'symbol' || name === 'then' || name === 'toJSON')
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      throw new Error(`fakeProducer does not support ${what} ${name}: use testFleet, which has a real Redis.`);
    },
  });
}
