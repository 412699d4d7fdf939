import type { Keys } from '../../shared/keys.js';
import { HashReader } from '../../shared/records/hash-reader.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import { STOP_WAYS, type StopWay } from '../../shared/stop/receipt.js';
import type { StreamHub } from './stream-reader.js';

/**
 * Receives the events of one job, BullMQ's (`active`, `completed`, `failed`, `delayed`, `removed` …) and {@link CANCELLED}, with their
 * fields, and the queue-wide `cleaned`, which follows bulk removals without events for each job.
 */
type JobListener = (event: string, fields: Readonly<Record<string, string>>) => void;

export interface JobEnd {
  readonly event: 'completed' | 'failed';
  readonly fields: Readonly<Record<string, string>>;
}

/**
 * Returns the end that an event reports; null if the event shows that the job has not ended (it was retried); undefined if the
 * event does not tell.
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

/** How a worker settled the stop of a run. */
export interface SettledRun {
  readonly via: StopWay;
  readonly settledAt: Date;
}

/** The event that `endStopped` adds behind BullMQ's `failed`, which does not say how a stopped run ended. */
const CANCELLED = 'taskfleet:cancelled';

/** Returns what an event says of the end of a stopped run; null for other events, and for one that is unreadable. */
export function settledSaidBy(event: string, fields: Readonly<Record<string, string>>): SettledRun | null {
  if (event !== CANCELLED) return null;
  const via = STOP_WAYS.find((way) => way === fields['via']);
  const settledAt = new HashReader(fields).time('finishedOn');
  return via !== undefined && settledAt !== null ? { via, settledAt } : null;
}

/** About as many events as BullMQ keeps for a queue. */
const SEARCHED = 10_000;

interface Feed {
  readonly listeners: Map<string, Set<JobListener>>;
  readonly followed: Promise<() => void>;
}

/** Dispatches the events of single jobs. Each queue with listeners has one reader. */
export class JobEvents {
  readonly #feeds = new Map<string, Feed>();

  constructor(
    private readonly redis: RedisConnection,
    private readonly hub: StreamHub,
    private readonly keys: Keys,
  ) {}

  /** Subscribes to a job's new events. Resolves, once subscribed, with a function that unsubscribes. */
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
   * Finds the end of a removed job in the queue's events; null if its last run did not end, or the event is no longer stored.
   */
  async endOf(queue: string, id: string): Promise<JobEnd | null> {
    for (const [, fields] of await this.redis.xrevrange(`${this.keys.jobs(queue)}events`, '+', '-', 'COUNT', SEARCHED)) {
      const entry = toRecord(fields);
      const end = entry['jobId'] === id ? endSaidBy(entry['event'] ?? '', entry) : undefined;
      if (end !== undefined) return end;
    }
    return null;
  }

  #open(queue: string): Feed {
    const listeners = new Map<string, Set<JobListener>>();
    const followed = this.hub.follow(`${this.keys.jobs(queue)}events`, (entries) => {
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
