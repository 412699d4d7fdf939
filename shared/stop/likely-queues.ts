import type { FoundTask } from './recorder.js';

/** The queues of tasks that were stopped last, at most this many: the stop of one task is recorded on each. */
const MOST = 3;
/** An id that the fleet has generated: no two tasks have it, not even on different queues. */
const GENERATED = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/**
 * The queues on which tasks to stop probably are. A stop recorded there needs no look-up first, and changes nothing on a queue without the
 * task. The task is looked up all the same: it may be elsewhere.
 */
export class LikelyQueues {
  /** The latest last. */
  readonly #queues = new Set<string>();

  note(queues: Iterable<string>): void {
    for (const queue of queues) {
      this.#queues.delete(queue);
      this.#queues.add(queue);
    }
    for (const queue of this.#queues) {
      if (this.#queues.size <= MOST) break;
      this.#queues.delete(queue);
    }
  }

  /** Returns the queues where these tasks may be; none for ids that may repeat across queues. */
  of(ids: readonly string[]): string[] {
    return ids.every((id) => GENERATED.test(id)) ? [...this.#queues] : [];
  }
}

/** The stops of tasks recorded on the likely queues, before the tasks are looked up. */
export class EarlyRecords {
  static readonly NONE = new EarlyRecords(new Map());

  constructor(private readonly byQueue: ReadonlyMap<string, Promise<FoundTask[]>>) {
    for (const record of byQueue.values()) record.catch(() => undefined); // awaited after the look-up
  }

  /** Adds the tasks that were found to those that were looked up: a task that has ended, or has lost its entry, is not live. */
  async addTo(located: Map<string, string[]>): Promise<void> {
    for (const [queue, record] of this.byQueue) {
      const ids = located.get(queue) ?? [];
      // A queue that is not the task's must not make the stop fail; of the task's queue, `of` throws.
      const found = await record.catch(() => []);
      const others = found.flatMap(({ id, recorded: [what] }) => (what === 'missing' || ids.includes(id) ? [] : [id]));
      if (others.length > 0) located.set(queue, [...ids, ...others]);
    }
  }

  /** Returns the records of tasks on a queue; null if none were made there. */
  of(queue: string, ids: readonly string[]): Promise<FoundTask[]> | null {
    return this.byQueue.get(queue)?.then((found) => found.filter(({ id }) => ids.includes(id))) ?? null;
  }
}
