import type { Response } from 'express';
import type { Producer, TaskView } from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { Store } from '../../../shared/store.js';
import { whenGone } from '../../auth/authenticate.js';
import { type Principal, callerKeyOf } from '../../auth/principal.js';
import { SingleFlight } from './broadcast.js';
import { EventWriter, type WriterLimits } from './event-writer.js';
import { ListFeed } from './live-list.js';
import { TaskFeed } from './task-feed.js';

export interface StreamOptions extends Partial<WriterLimits> {
  /** Maximum open streams of this process. Default 1,000; a single caller gets at most half. */
  readonly maxStreams?: number;
  /** Poll interval of the live list while clients listen, in ms. Default 1,000. */
  readonly lookMs?: number;
}

interface SharedFeed {
  readonly feed: TaskFeed;
  readonly started: Promise<void>;
  followers: number;
}

const RETRY_AFTER_S = '5';
/** Streams of one item token, which a page has for a handful of tasks. */
const MAX_ITEM_TOKEN_STREAMS = 32;

/** The open event streams of this process and their feeds. */
export class EventStreams {
  readonly #producer: Producer;
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #limits: WriterLimits & { readonly maxStreams: number };
  readonly #writers = new Map<EventWriter, string>();
  readonly #feeds = new Map<string, SharedFeed>();
  readonly #reads = new SingleFlight();
  readonly list: ListFeed;
  #closed = false;

  constructor(
    producer: Producer,
    store: Store,
    logger: Logger,
    { maxStreams = 1_000, keepAliveMs = 15_000, stallMs = 30_000, maxAgeMs = 3_600_000, lookMs = 1_000 }: StreamOptions = {},
  ) {
    this.#producer = producer;
    this.#store = store;
    this.#logger = logger;
    this.#limits = { maxStreams, keepAliveMs, stallMs, maxAgeMs };
    this.list = new ListFeed({ producer, store, logger, intervalMs: lookMs });
  }

  /**
   * Opens a stream until `res` closes. The stream ends with its caller's session, JWT or item token.
   * @throws FleetError `TOO_MANY_REQUESTS` if too many are open, in total or for this caller; `CLOSED`
   */
  open(res: Response, principal: Principal): EventWriter {
    if (this.#closed) throw new FleetError('CLOSED', 'The dashboard is shutting down.');
    const caller = callerKeyOf(principal);
    const most = principal.itemToken ? MAX_ITEM_TOKEN_STREAMS : Math.ceil(this.#limits.maxStreams / 2);
    const own = [...this.#writers.values()].filter((one) => one === caller).length;
    if (this.#writers.size >= this.#limits.maxStreams || own >= most) {
      res.setHeader('Retry-After', RETRY_AFTER_S);
      throw new FleetError('TOO_MANY_REQUESTS', `Too many open event streams: ${own} for this caller, ${this.#writers.size} in total.`);
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

  /** Reads a task, or null; concurrent calls share one read. */
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

  /** Ends all streams; clients reconnect to any available dashboard. */
  close(): void {
    this.#closed = true;
    for (const writer of this.#writers.keys()) writer.end();
    for (const { feed } of this.#feeds.values()) feed.stop();
    this.#feeds.clear();
    this.list.log.end();
  }

  #feedOf(id: string): SharedFeed {
    const found = this.#feeds.get(id);
    // The feed of a finished task does not see a later retry.
    if (found && !found.feed.log.ended) return found;
    const feed = new TaskFeed(id, this.#producer, this.#store, this.#logger);
    const shared = { feed, started: feed.start(), followers: 0 };
    this.#feeds.set(id, shared);
    return shared;
  }

  #drop(id: string, shared: SharedFeed): void {
    shared.feed.stop();
    if (this.#feeds.get(id) === shared) this.#feeds.delete(id);
  }
}
