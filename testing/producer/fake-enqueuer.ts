import { uuidv7 } from 'uuidv7';
import type { EnqueuedTask } from '../../producer/enqueue/enqueued-task.js';
import type { EnqueueResult, Enqueuer } from '../../producer/enqueue/enqueuer.js';
import type { PreparedTask } from '../../producer/enqueue/prepare.js';
import { itemBusy, refusal } from '../../producer/enqueue/when-busy.js';
import { type LimitStep } from '../../shared/limiter/marks.js';
import { StopRequested } from '../../shared/stop/cause.js';
import type { Dedupe } from '../../shared/task/dedupe.js';
import { shardOf } from '../../shared/task/shards.js';
import { BookTask } from './book-task.js';
import type { FakeStops } from './fake-stops.js';
import type { TaskBook } from './task-book.js';

const NONE: readonly string[] = Object.freeze([]);

/** Adds tasks to the book of a fake producer, by the rules for ids, deduplication, busy items and busy keys. */
export class FakeEnqueuer implements Pick<Enqueuer, 'enqueue' | 'enqueueAll'> {
  constructor(
    private readonly book: TaskBook,
    private readonly stops: FakeStops,
  ) {}

  enqueueAll(tasks: readonly PreparedTask[]): Promise<EnqueueResult[]> {
    return Promise.allSettled(tasks.map((task) => this.enqueue(task)));
  }

  async enqueue(task: PreparedTask): Promise<EnqueuedTask> {
    const known = task.id === null ? undefined : this.book.tasks.get(task.id);
    if (known) return enqueued(known, true);
    const parent = task.parent && this.book.tasks.get(task.parent.id);
    if (parent?.stop) throw new StopRequested(parent.stop.reason, parent.stop.by);
    const standing = task.dedupe && this.#standing(task.dedupe, task);
    if (standing) return enqueued(standing, true);
    const id = task.id ?? uuidv7();
    const superseded = [...this.#busyItem(task), ...this.#busyKey(task, id)];
    const added = new BookTask(id, shardOf(task.definition, task.dedupe?.id ?? id), task, this.book.now());
    this.book.tasks.set(id, added);
    this.stops.stopAll(superseded, { reason: `Superseded by task ${id}`, by: null, at: new Date(this.book.now()) });
    return { ...enqueued(added, false), superseded };
  }

  /** Returns the task that stands for the key; with `debounce`, gives it the new input. */
  #standing({ id, mode, withinMs }: Dedupe, task: PreparedTask): BookTask | null {
    const now = this.book.now();
    const same = [...this.book.tasks.values()].filter(({ prepared }) => prepared.dedupe?.id === id);
    switch (mode) {
      case 'while-live':
        return same.find(({ isLive }) => isLive) ?? null;
      case 'throttle':
        return same.find(({ enqueuedAt }) => now - enqueuedAt < (withinMs ?? 0)) ?? null;
      case 'debounce': {
        const waiting = same.find(({ state }) => state === 'scheduled' || state === 'queued') ?? null;
        if (waiting) Object.assign(waiting, { prepared: task, dueAt: now + (withinMs ?? 0), state: 'scheduled' });
        return waiting;
      }
    }
  }

  /** Returns the tasks to stop in favour of this one. @throws FleetError `ITEM_BUSY` */
  #busyItem({ onBusy, item }: PreparedTask): readonly string[] {
    if (onBusy === null) return NONE;
    const live = idsOf(this.book.live().filter((one) => one.item === item));
    if (onBusy === 'reject' && live.length > 0) throw itemBusy(item, live);
    return live;
  }

  /** Returns the tasks to stop in favour of this one. @throws FleetError `ITEM_BUSY`, `PARENT_HOLDS_KEY` */
  #busyKey(task: PreparedTask, id: string): readonly string[] {
    const places = (task.steps ?? []).filter(({ kind }) => kind === 'place');
    if (task.delay > 0 || places.length === 0) return NONE;
    const above = new Set([...task.ancestors, ...(task.parent ? [task.parent.id] : [])]);
    for (const step of places) {
      const [holders, inLine] = this.#lineOf(step);
      if (holders.length < maxOf(step)) continue;
      const parents = holders.filter((one) => above.has(one.id));
      const refuse = (kind: 'busy' | 'parent', ids: readonly BookTask[]): never => {
        throw refusal(task, { kind, id: step.id, ids: idsOf(ids) });
      };
      if (parents.length > 0) refuse('parent', parents);
      if (task.whenBusy === 'reject') refuse('busy', holders);
      const frees = task.whenBusy !== 'wait' && step === places[0];
      if (!frees && step.maxWaiting !== undefined && inLine.length >= step.maxWaiting) refuse('busy', inLine);
    }
    const [first] = places;
    if (first === undefined || task.whenBusy === 'wait' || task.whenBusy === 'reject') return NONE;
    const [holders, inLine] = this.#lineOf(first);
    if (task.whenBusy === 'replace-waiting') return idsOf(inLine);
    const all = [...holders, ...inLine];
    return idsOf(all.slice(0, Math.max(0, all.length + 1 - maxOf(first)))).filter((one) => one !== id);
  }

  /** The live tasks of a key: those that hold its places, which are the running and then the oldest ones, and those in line. */
  #lineOf(step: LimitStep): [holders: BookTask[], inLine: BookTask[]] {
    const ofKey = this.book
      .live()
      .filter(({ prepared, state }) => state !== 'scheduled' && prepared.steps?.some(({ id }) => id === step.id));
    const ordered = [...ofKey.filter(({ isRunning }) => isRunning), ...ofKey.filter(({ isRunning }) => !isRunning)];
    return [ordered.slice(0, maxOf(step)), ordered.slice(maxOf(step))];
  }
}

function maxOf({ max }: LimitStep): number {
  return typeof max === 'number' ? max : Infinity;
}

function idsOf(tasks: readonly BookTask[]): string[] {
  return tasks.map(({ id }) => id);
}

function enqueued({ id, definition, queue, item }: BookTask, duplicate: boolean): EnqueuedTask {
  return { id, name: definition.name, queue, item: item || null, duplicate, superseded: NONE };
}
