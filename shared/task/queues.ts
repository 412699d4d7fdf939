import { Queue, type RedisQueueBackend } from 'bullmq';
import { useFleetClock } from '../clock/bullmq-time.js';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { Logger } from '../log/logger.js';
import type { RedisConnection } from '../redis/connection.js';
import { moveAwayCommand } from '../redis/reply-errors.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/** The keys of a queue that `readTasks` reads, in the order of its header. */
export const READ_PLACES = ['completed', 'failed', 'delayed', 'prioritized', 'active', 'waiting-children', 'wait', 'meta'] as const;

/** The BullMQ queues of the fleet over one connection, each created on first use. */
export class Queues {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #clock: FleetClock;
  readonly #logger: Logger;
  readonly #queues = new Map<string, Queue>();

  constructor(redis: ScriptedRedis, keys: Keys, clock: FleetClock, logger: Logger) {
    this.#redis = redis;
    this.#keys = keys;
    this.#clock = clock;
    this.#logger = logger;
  }

  get(name: string): Queue {
    let queue = this.#queues.get(name);
    if (!queue) {
      // The connection's policy decides whether commands wait, so BullMQ must not wait for it to be ready.
      queue = new Queue(name, {
        connection: this.#redis,
        prefix: this.#keys.bull(name),
        skipVersionCheck: true,
        skipWaitingForReady: true,
      });
      useFleetClock(queue.getBackend(), this.#clock);
      queue.on('error', (error) => this.#logger.debug({ queue: name, error: error.message }, 'Queue error'));
      this.#queues.set(name, queue);
    }
    return queue;
  }

  backend(name: string): RedisQueueBackend {
    return this.get(name).getBackend();
  }

  /** Returns a queue's keys with the given names. */
  scriptKeys(name: string, ...names: string[]): string[] {
    const prefix = this.#keys.jobs(name);
    return names.map((key) => prefix + key);
  }

  /** The keys of `readTasks`. */
  readKeys(name: string): string[] {
    return this.scriptKeys(name, ...READ_PLACES);
  }

  /** The keys of every place of a job. */
  private placeKeys(name: string): string[] {
    return this.scriptKeys(name, 'completed', 'failed', 'delayed', 'prioritized', 'wait', 'active', 'waiting-children', 'paused');
  }

  /** The keys of `recordStop`. */
  stopKeys(name: string): string[] {
    return [...this.placeKeys(name), ...this.scriptKeys(name, 'meta', 'events')];
  }

  /** The keys of `restoreJobs`. */
  restoreKeys(name: string): string[] {
    return [...this.placeKeys(name), ...this.scriptKeys(name, 'meta', 'marker', 'events')];
  }

  /** The keys of `unparkJobs`. */
  unparkKeys(name: string): string[] {
    return this.scriptKeys(name, 'delayed', 'wait', 'prioritized', 'meta', 'active', 'pc', 'marker', 'events');
  }

  /**
   * Blocks retries of a queue's cancelled jobs by other programs.
   * @param name the queue's name
   */
  blockRetry(name: string, ids: readonly string[]): Promise<number> {
    return this.#redis.blockRetry(...this.scriptKeys(name, 'failed'), this.#keys.jobs(name), ...ids);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
    this.#queues.clear();
  }
}

/** The keys of a BullMQ queue besides its jobs, and their types. `test/contract` fails if BullMQ changes them. */
const TYPES = {
  ...{
    wait: 'list',
    active: 'list',
    paused: 'list',
    prioritized: 'zset',
    delayed: 'zset',
    completed: 'zset',
    failed: 'zset',
    'waiting-children': 'zset',
  },
  ...{
    marker: 'zset',
    repeat: 'zset',
    stalled: 'set',
    events: 'stream',
    meta: 'hash',
    id: 'string',
    pc: 'string',
    limiter: 'string',
    'stalled-check': 'string',
  },
} as const;

/** A key of a queue with the wrong type. */
interface WrongKey {
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  /** The command that renames it. */
  readonly repair: string;
}

/** Finds a queue's keys of the wrong type, for example overwritten by a job with the key's name as id. One round trip. */
export async function wrongKeysOf(redis: RedisConnection, keys: Keys, queue: string): Promise<WrongKey[]> {
  const expected = Object.entries(TYPES);
  const names = expected.map(([name]) => keys.jobs(queue) + name);
  const found = await Promise.all(names.map((name) => redis.type(name)));
  return expected.flatMap(([, type], index) => {
    const key = names[index] as string;
    const is = found[index] as string;
    return is === 'none' || is === type ? [] : [{ key, expected: type, found: is, repair: moveAwayCommand(key) }];
  });
}

/** Describes wrong keys, with the commands that repair them. */
export function describeWrongKeys(wrong: readonly WrongKey[]): string {
  return wrong.map(({ key, expected, found, repair }) => `${key} holds a ${found} instead of a ${expected}: ${repair}`).join('; ');
}
