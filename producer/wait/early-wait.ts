import { type RedisConnection, keepsOrder } from '../../shared/redis/connection.js';
import type { JobAddress } from '../../shared/task/job-options.js';
import type { Wait, Waiter } from './waiter.js';

/** Tasks of a wait: of more, most are queued, and end when their stops are recorded. */
const MOST = 2_000;

/**
 * A wait for the ends of tasks that starts in the same write as the records of their stops, and before them, so that no end comes between.
 * On a cluster, commands keep no order, and there is no early wait.
 */
export class EarlyWait {
  #ids: ReadonlySet<string> | null = null;
  #jobs: ReadonlySet<string> = new Set();
  #starting: Promise<Wait | null> | null = null;

  constructor(
    private readonly waiter: Waiter,
    private readonly redis: RedisConnection,
  ) {}

  /**
   * Starts the wait for tasks on these queues, or starts it anew if the tasks turn out to be on others. Ignores tasks that were not in the
   * first call: the children of stopped tasks come later.
   */
  readonly start = (byQueue: ReadonlyMap<string, readonly string[]>): void => {
    if (!keepsOrder(this.redis)) return;
    const jobs = [...byQueue].flatMap(([queue, ids]) => ids.map((id) => ({ id, queue })));
    if (jobs.length === 0 || jobs.length > MOST) return;
    this.#ids ??= new Set(jobs.map(({ id }) => id));
    if (this.#includes(jobs) || !jobs.every(({ id }) => this.#ids?.has(id))) return;
    this.close();
    this.#jobs = new Set(jobs.map(keyOf));
    this.#starting = this.waiter.start(jobs).catch(() => null);
  };

  /** Returns the wait, for the caller to close; null if it does not include all these tasks, or could not be started. */
  async take(pending: readonly JobAddress[]): Promise<Wait | null> {
    if (!this.#includes(pending)) return null;
    const wait = await this.#starting;
    this.#starting = null;
    return wait;
  }

  /** Closes the wait, unless it was taken. */
  close(): void {
    void this.#starting?.then((wait) => wait?.close());
  }

  #includes(jobs: readonly JobAddress[]): boolean {
    return jobs.every((job) => this.#jobs.has(keyOf(job)));
  }
}

function keyOf({ queue, id }: JobAddress): string {
  return `${queue} ${id}`;
}
