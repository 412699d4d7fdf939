import type { Keys } from '../shared/keys.js';
import type { RedisConnection } from '../shared/redis/connection.js';
import type { StreamHub } from './stream-hub.js';

/**
 * What BullMQ wrote to a queue's event stream about one job: `active`, `completed`, `failed`, `delayed`, `removed` …, with
 * its fields. `cleaned`, when jobs were removed without a word about each, is for all jobs of the queue.
 */
export type JobListener = (event: string, fields: Readonly<Record<string, string>>) => void;

export interface JobEnd {
  readonly event: 'completed' | 'failed';
  readonly fields: Readonly<Record<string, string>>;
}

/**
 * What an event says about the end of its job's last run: the end; null if there was none by then, as for a job that was
 * retried; undefined if it says nothing about that.
 */
export function endSaidBy(event: string, fields: Readonly<Record<string, string>>): JobEnd | null | undefined {
  switch (event) {
    case 'completed':
    case 'failed':
      return { event, fields };
    case 'added':
    case 'waiting':
    case 'delayed':
    case 'active':
      return null;
    default:
      return undefined;
  }
}

/** As many events as BullMQ keeps of a queue, about. */
const SEARCHED = 10_000;

interface Feed {
  readonly listeners: Map<string, Set<JobListener>>;
  readonly followed: Promise<() => void>;
}

/** Hands out the events of single jobs; one reader for each queue, for as long as somebody listens to one of its jobs. */
export class JobEvents {
  readonly #redis: RedisConnection;
  readonly #hub: StreamHub;
  readonly #keys: Keys;
  readonly #feeds = new Map<string, Feed>();

  constructor(redis: RedisConnection, hub: StreamHub, keys: Keys) {
    this.#redis = redis;
    this.#hub = hub;
    this.#keys = keys;
  }

  /** Resolves, when events from now on will be heard, with how to end it. */
  async listen(queue: string, id: string, listener: JobListener): Promise<() => void> {
    const feed = this.#feeds.get(queue) ?? this.#open(queue);
    const listeners = feed.listeners.get(id) ?? new Set();
    feed.listeners.set(id, listeners.add(listener));
    const end = (): void => {
      listeners.delete(listener);
      if (listeners.size === 0) feed.listeners.delete(id);
      if (feed.listeners.size === 0 && this.#feeds.get(queue) === feed) this.#close(queue, feed);
    };
    try {
      await feed.followed;
    } catch (error) {
      end();
      throw error;
    }
    return end;
  }

  /**
   * How a job ended that is not kept, as the script that removed it wrote; null if its last run never ended, or that is no
   * longer among the queue's events.
   */
  async endOf(queue: string, id: string): Promise<JobEnd | null> {
    for (const [, fields] of await this.#redis.xrevrange(`${this.#keys.jobs(queue)}events`, '+', '-', 'COUNT', SEARCHED)) {
      const entry = toRecord(fields);
      const end = entry['jobId'] === id ? endSaidBy(entry['event'] ?? '', entry) : undefined;
      if (end !== undefined) return end;
    }
    return null;
  }

  #open(queue: string): Feed {
    const listeners = new Map<string, Set<JobListener>>();
    const followed = this.#hub.follow(`${this.#keys.jobs(queue)}events`, (entries) => {
      for (const { fields } of entries) {
        const entry = toRecord(fields);
        const event = entry['event'] ?? '';
        const concerned =
          event === 'cleaned' ? [...listeners.values()].flatMap((some) => [...some]) : (listeners.get(entry['jobId'] ?? '') ?? []);
        for (const listener of concerned) listener(event, entry);
      }
    });
    const feed = { listeners, followed };
    this.#feeds.set(queue, feed);
    return feed;
  }

  #close(queue: string, feed: Feed): void {
    this.#feeds.delete(queue);
    feed.followed.then(
      (unfollow) => unfollow(),
      () => undefined,
    );
  }
}

function toRecord(fields: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) record[fields[i] as string] = fields[i + 1] as string;
  return record;
}
