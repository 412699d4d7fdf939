import type { TaskView } from '../task/view.js';
import type { TaskEvent, TaskStateEvent } from './event.js';
import { StateChanges } from './state-changes.js';
import { failureOf } from './state-event.js';

/** A change of state in a task's record. */
interface RecordedChange {
  /** Tells the changes of one task apart. */
  readonly key: string;
  readonly begins: boolean;
  readonly event: TaskStateEvent;
}

/**
 * The events of a task so far, from its record of attempts and its stream: the record has each attempt's times and errors, the stream
 * the output between them. Each change of state is shown once.
 */
export class EventHistory {
  readonly changes = new StateChanges();
  #task: TaskView | null = null;
  /** The last change of the record that was learned. */
  #last: string | null = null;
  #pending: RecordedChange[] = [];

  /** Learns the changes in a newer record of the task; they are shown by `merge` and `rest`. */
  learn(task: TaskView): void {
    const all = changesOf(task);
    const known = all.findLastIndex(({ key }) => key === this.#last);
    // Without the last known change, the record has moved on by 20 attempts: only the current state is shown.
    if (known !== -1 || this.#last === null) this.#pending.push(...all.slice(known + 1));
    this.#note(task, all);
  }

  /** Learns a record of the task whose changes are not to be shown. */
  skip(task: TaskView): void {
    this.#note(task, changesOf(task));
  }

  /** Learns the changes in a record up to a time, for a follower who gets the later ones from elsewhere. */
  learnUntil(task: TaskView, time: Date): void {
    const all = changesOf(task);
    this.#pending = all.slice(0, all.findLastIndex(({ event }) => event.at <= time) + 1);
    this.#note(task, all);
  }

  /** Returns the news in the next events of the stream, each preceded by the recorded changes before it. */
  merge(events: readonly TaskEvent[]): TaskEvent[] {
    return events.flatMap((event) => {
      const due = this.#pending.findLastIndex((change) => precedes(change, event));
      return [...this.#pending.splice(0, due + 1).map((change) => change.event), this.#withError(event)].filter((one) =>
        this.changes.isNews(one),
      );
    });
  }

  /** Returns the recorded changes after the last event of the stream. */
  rest(): TaskEvent[] {
    return this.#pending
      .splice(0)
      .map(({ event }) => event)
      .filter((event) => this.changes.isNews(event));
  }

  #note(task: TaskView, all: readonly RecordedChange[]): void {
    this.#task = task;
    this.#last = all.at(-1)?.key ?? this.#last;
  }

  /** Adds the error of an attempt, which the stream does not have. */
  #withError(event: TaskEvent): TaskEvent {
    if (event.type !== 'state' || event.state !== 'retrying') return event;
    const attempt = this.#task?.attempts?.findLast(
      ({ number, startedAt }) => number === event.attempt && (startedAt ?? event.at) <= event.at,
    );
    return attempt ? { ...event, ...failureOf(attempt) } : event;
  }
}

/**
 * Whether a recorded change comes before an event of the stream. Of two in the same millisecond, output belongs to the attempt before;
 * the end of an attempt, whose time is its worker's, comes only before the start of another one.
 */
function precedes({ begins, event: change }: RecordedChange, event: TaskEvent): boolean {
  if (event.type !== 'state') return begins && change.at < event.at;
  if (change.at > event.at) return false;
  return begins ? change.at < event.at || change.attempt === event.attempt : event.state === 'queued' || event.attempt !== change.attempt;
}

/** Returns the changes of state in a task's record, oldest first, without its end. */
function changesOf(task: TaskView): RecordedChange[] {
  const { attempts, enqueuedAt, state, finishedAt } = task;
  const isDelayed = state === 'scheduled' || state === 'waiting' || state === 'unreadable';
  const changes: RecordedChange[] = [];
  const add = (key: string, begins: boolean, event: Omit<TaskStateEvent, 'type' | 'id'>): void =>
    void changes.push({ key, begins, event: { type: 'state', id: null, ...event } });
  if (enqueuedAt && attempts && (attempts.length > 0 || !isDelayed))
    add(`queued ${enqueuedAt.getTime()}`, true, { at: enqueuedAt, state: 'queued', attempt: null });
  for (const [index, attempt] of (attempts ?? []).entries()) {
    const { number, startedAt, endedAt, outcome } = attempt;
    const key = `${number} ${startedAt?.getTime() ?? index}`;
    if (startedAt) add(`${key} began`, true, { at: startedAt, state: 'running', attempt: number });
    const isEnd = finishedAt !== null && index === (attempts ?? []).length - 1;
    // A cancelled attempt before the last one was retried, which its stream tells.
    if (endedAt && outcome !== null && outcome !== 'cancelled' && outcome !== 'completed' && !isEnd)
      add(`${key} ended`, false, {
        at: endedAt,
        attempt: number,
        ...(outcome === 'requeued' ? { state: 'queued' } : { state: 'retrying', ...failureOf(attempt) }),
      });
  }
  return changes;
}
