import type { StopAnswer, StopRecord, StopWay } from '../../shared/stop/receipt.js';
import type { BookTask } from './book-task.js';
import type { TaskBook } from './task-book.js';

type StopRequest = Omit<StopRecord, 'via'>;

/** Stops tasks of the book, with their children. */
export class FakeStops {
  /** @param settles whether a running task ends at once, as if its handler heeded the signal */
  constructor(
    private readonly book: TaskBook,
    private readonly settles: boolean,
  ) {}

  async request(ids: readonly string[], request: StopRequest): Promise<Map<string, StopAnswer>> {
    return this.stopAll(ids, request);
  }

  async requestItem(item: string, request: StopRequest): Promise<Map<string, StopAnswer>> {
    const ofItem = this.book.live().filter((task) => task.item === item);
    return this.stopAll(
      ofItem.map(({ id }) => id),
      request,
    );
  }

  async untilGone(): Promise<{ readonly gone: Map<string, Date>; readonly ours: string[] }> {
    return { gone: new Map(), ours: [] };
  }

  async recheck(): Promise<Map<string, StopAnswer>> {
    return new Map();
  }

  stopAll(ids: readonly string[], request: StopRequest): Map<string, StopAnswer> {
    const answers = new Map<string, StopAnswer>();
    const pending = [...ids];
    for (let id = pending.shift(); id !== undefined; id = pending.shift()) {
      if (answers.has(id)) continue;
      const task = this.book.tasks.get(id);
      answers.set(id, task ? this.#stop(task, request) : { kind: 'not_found' });
      for (const child of this.book.live()) if (child.prepared.parent?.id === id) pending.push(child.id);
    }
    return answers;
  }

  /** Ends a stopped task. */
  settle(task: BookTask, via: StopWay): void {
    task.settleStop(via, this.book.now());
    this.book.changed(task, 'failed', { failedReason: task.error ?? '' });
  }

  #stop(task: BookTask, { reason, by, at }: StopRequest): StopAnswer {
    const { queue, state } = task;
    if (state === 'cancelled' && task.stop)
      return { kind: 'cancelled', stop: task.stop, settledAt: new Date(task.finishedAt ?? this.book.now()), queue };
    if (!task.isLive) return { kind: 'ended', as: state as 'completed' | 'failed' | 'skipped' };
    task.stop ??= { reason, by, at, via: null };
    if (!task.isRunning) {
      this.settle(task, 'queue');
      return { kind: 'cancelled', stop: task.stop, settledAt: new Date(this.book.now()), queue };
    }
    task.state = 'stopping';
    this.book.changed(task, 'stopping');
    // Later, as by a worker: the receipt says so only to those who wait.
    if (this.settles) setTimeout(() => task.isLive && this.settle(task, 'signal'), 0);
    return { kind: 'recorded', stop: task.stop, queue };
  }
}
