import type { Response } from 'express';
import type { Producer, TaskView } from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/logger.js';
import type { Store } from '../../../shared/store.js';
import { whenGone } from '../../auth/authenticate.js';
import { EventWriter, type WriterLimits } from './event-writer.js';
import { LiveList } from './live-list.js';
import { TaskFeed } from './task-feed.js';
import { SingleFlight } from './single-flight.js';

export interface StreamOptions extends Partial<WriterLimits> {
  /** Streams open at once at the most, in this process. Default 1,000; one caller has at most half of them. */
  readonly maxStreams?: number;
  /** How often the live list is looked at while somebody listens, in ms. Default 1,000. */
  readonly lookMs?: number;
}

interface SharedFeed {
  readonly feed: TaskFeed;
  readonly started: Promise<void>;
  followers: number;
}

const RETRY_AFTER_S = '5';

/** The open streams of events of this process, and what feeds them. */
export class EventStreams {
  readonly #producer: Producer;
  readonly #store: () => Store;
  readonly #logger: Logger;
  readonly #limits: WriterLimits & { readonly maxStreams: number };
  readonly #writers = new Map<EventWriter, string>();
  readonly #feeds = new Map<string, SharedFeed>();
  readonly #reads = new SingleFlight();
  readonly list: LiveList;
  #closed = false;

  constructor(
    producer: Producer,
    store: () => Store,
    logger: Logger,
    { maxStreams = 1_000, keepAliveMs = 15_000, stallMs = 30_000, maxAgeMs = 3_600_000, lookMs = 1_000 }: StreamOptions = {},
  ) {
    this.#producer = producer;
    this.#store = store;
    this.#logger = logger;
    this.#limits = { maxStreams, keepAliveMs, stallMs, maxAgeMs };
    this.list = new LiveList({ producer, store, logger, intervalMs: lookMs });
  }

  /**
   * Takes a place for a stream, until `res` is closed. The stream ends when its caller's session or JWT does.
   * @throws FleetError `TOO_MANY_REQUESTS` if too many are open, in all or of this caller; `CLOSED`
   */
  open(res: Response, caller: string): EventWriter {
    if (this.#closed) throw new FleetError('CLOSED', 'This dashboard is closing.');
    const own = [...this.#writers.values()].filter((one) => one === caller).length;
    if (this.#writers.size >= this.#limits.maxStreams || own >= Math.ceil(this.#limits.maxStreams / 2)) {
      res.setHeader('Retry-After', RETRY_AFTER_S);
      throw new FleetError('TOO_MANY_REQUESTS', `Too many event streams are open: ${own} of this caller, ${this.#writers.size} in all.`);
    }
    const writer = new EventWriter(res, this.#limits);
    this.#writers.set(writer, caller);
    const release = whenGone(res, () => writer.revoke());
    const leave = (): void => {
      this.#writers.delete(writer);
      release();
    };
    writer.signal.addEventListener('abort', leave, { once: true });
    if (writer.signal.aborted) leave();
    return writer;
  }

  /** A task as it is now, read once for all that ask at once; null if there is none. */
  read(id: string): Promise<TaskView | null> {
    return this.#reads.ask(id, () => this.#producer.get(id));
  }

  /** Follows a task's events while `use` runs. @throws FleetError `TASK_NOT_FOUND`, `REDIS_UNAVAILABLE` */
  async follow(id: string, use: (feed: TaskFeed) => Promise<void>): Promise<void> {
    const shared = this.#feedOf(id);
    shared.followers += 1;
    try {
      await shared.started;
      await use(shared.feed);
    } finally {
      shared.followers -= 1;
      if (shared.followers === 0) this.#drop(id, shared);
    }
  }

  /** Ends all streams; their clients come back, to wherever they find a dashboard then. */
  close(): void {
    this.#closed = true;
    for (const writer of this.#writers.keys()) writer.end();
    for (const { feed } of this.#feeds.values()) feed.stop();
    this.#feeds.clear();
    this.list.log.end();
  }

  #feedOf(id: string): SharedFeed {
    const found = this.#feeds.get(id);
    // The feed of a task that has ended knows nothing of its retry.
    if (found && !found.feed.log.ended) return found;
    const feed = new TaskFeed(id, this.#producer, this.#store(), this.#logger);
    const shared = { feed, started: feed.start(), followers: 0 };
    this.#feeds.set(id, shared);
    return shared;
  }

  #drop(id: string, shared: SharedFeed): void {
    shared.feed.stop();
    if (this.#feeds.get(id) === shared) this.#feeds.delete(id);
  }
}
