import { messageOf } from '../shared/errors.js';
import { type Logger, RepeatedLines } from '../shared/log/logger.js';
import { LateRemovals, type Removal } from '../shared/registry/late-removals.js';
import type { Memberships, MergedWrites, Registration } from '../shared/registry/merged-writes.js';
import type { EndedTask } from '../shared/retention/ended-tasks.js';
import type { Store } from '../shared/store.js';
import { writeState } from '../shared/task/event-stream.js';
import type { TaskState } from '../shared/task/state.js';

/**
 * Minimum interval between writes, in ms. A busy worker's writes are batched meanwhile; the first after a pause is sent at once. After a
 * longer interval, Redis would be busy with the batch for so long that all slots wait for it together.
 */
const INTERVAL_MS = 4;

/** Batches a worker's writes to the registry and to the indexes of ended tasks, so that many finished tasks cost a few commands. */
export class RegistryWriter {
  readonly #lines: RepeatedLines;
  readonly #writes: MergedWrites;
  readonly #lateRemovals: LateRemovals;
  #removals: Removal[] = [];
  /** Checks of late removals. */
  #checks: Promise<unknown> = Promise.resolve();
  #states: [id: string, state: TaskState][] = [];
  #ended: EndedTask[] = [];
  #scheduled = false;
  #sentAt = -Infinity;
  #sending: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: Store,
    logger: Logger,
  ) {
    this.#lines = new RepeatedLines(logger);
    this.#writes = store.registry.writes();
    this.#lateRemovals = new LateRemovals(store);
  }

  /** Registers a task that no producer has registered. */
  add(registration: Registration): void {
    this.#writes.add(registration);
    this.#schedule();
  }

  /** Removes a finished task. With `atOnce`, because someone waits for its end, the batch is sent right away. */
  remove(removal: Removal, memberships: Memberships, { atOnce = false } = {}): void {
    this.#writes.remove(removal.id, memberships);
    this.#removals.push(removal);
    if (atOnce) setImmediate(this.#send);
    else this.#schedule();
  }

  /** Applies the retention of a finished task, once its end is written. */
  keep(task: EndedTask): void {
    this.#ended.push(task);
    this.#schedule();
  }

  /** Adds a change of state to the task's event stream. */
  state(id: string, state: TaskState): void {
    this.#states.push([id, state]);
    this.#schedule();
  }

  /**
   * Adds a failed attempt to the task's event stream, unbatched: the next attempt may start in this very tick. The event may still follow
   * the first ones of the next attempt on another worker; readers tell them apart by the attempt number.
   */
  retrying(id: string, attempt: number): void {
    const { redis, keys } = this.store;
    this.#track(writeState(redis, keys.events(id), 'retrying', attempt));
  }

  /** Sends the batch, and resolves when all writes so far are done. */
  async flush(): Promise<void> {
    this.#send();
    await this.#sending;
    await this.#checks;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (performance.now() - this.#sentAt >= INTERVAL_MS) setImmediate(this.#send);
    else setTimeout(this.#send, INTERVAL_MS);
  }

  readonly #send = (): void => {
    this.#scheduled = false;
    this.#sentAt = performance.now();
    const { redis, keys } = this.store;
    const sent: unknown[] = this.#writes.flushInto(redis);
    for (const [id, state] of this.#states) sent.push(...writeState(redis, keys.events(id), state));
    this.#states = [];
    if (this.#ended.length > 0) sent.push(this.store.endedTasks.keep(this.#ended));
    this.#ended = [];
    const removals = this.#removals;
    this.#removals = [];
    if (sent.length > 0) this.#track(sent, removals);
  };

  /** A single connection keeps the order: the last write is answered last. */
  #track(sent: readonly unknown[], removals: readonly Removal[] = []): void {
    const sending = Promise.all(sent).then(() => {
      const check = this.#lateRemovals.check(removals).catch((error: unknown) => this.#warn(error));
      this.#checks = Promise.all([this.#checks, check]);
    });
    this.#sending = sending.catch((error: unknown) => this.#warn(error));
  }

  #warn(error: unknown): void {
    this.#lines.warn(messageOf(error), { error }, 'Could not update the registry; the reconciler will remove finished tasks');
  }
}
