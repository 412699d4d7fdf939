import type { JobEnd } from '../../producer/wait/events.js';
import type { StreamEntry } from '../../producer/wait/stream-reader.js';
import { FleetError } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import type { Pause } from '../../shared/queue/pause.js';
import { type TaskState, isTerminal } from '../../shared/task/state.js';
import type { TaskView } from '../../shared/task/view.js';
import type { BookTask } from './book-task.js';

type JobListener = (event: string, fields: Readonly<Record<string, string>>) => void;
type StreamListener = (entries: readonly StreamEntry[]) => void;

/** The tasks of a fake producer, with their streams of events, and their listeners. */
export class TaskBook {
  readonly tasks = new Map<string, BookTask>();
  /** Paused queues. */
  readonly pauses = new Map<string, Pause>();
  readonly #streams = new Map<string, StreamEntry[]>();
  readonly #jobListeners = new Map<string, Set<JobListener>>();
  readonly #streamListeners = new Map<string, Set<StreamListener>>();
  #entries = 0;

  constructor(readonly keys: Keys) {}

  now(): number {
    return Date.now();
  }

  /** @throws FleetError `TASK_NOT_FOUND` */
  get(id: string): BookTask {
    const task = this.tasks.get(id);
    if (task) return task;
    throw new FleetError('TASK_NOT_FOUND', `Task ${id} not found: this fake producer has enqueued no such task.`, { details: { id } });
  }

  live(): BookTask[] {
    return [...this.tasks.values()].filter((task) => task.isLive);
  }

  view(task: BookTask, detail: 'summary' | 'whole' = 'summary'): TaskView {
    return task.view(this.now(), this.pauses.get(task.queue) ?? null, detail);
  }

  views(ids: Iterable<string>, detail: 'summary' | 'whole' = 'summary'): Map<string, TaskView> {
    return new Map(
      [...ids].flatMap((id) => {
        const task = this.tasks.get(id);
        return task ? [[id, this.view(task, detail)] as const] : [];
      }),
    );
  }

  /** Adds output to a task's stream; the first of an attempt follows its `running`. */
  write(task: BookTask, type: 'chunk' | 'progress', json: string): void {
    if (task.announced < task.attempts.length) this.#state(task, 'running');
    task.announced = task.attempts.length;
    this.#append(task, ['type', type, 'data', json]);
  }

  /** Notes a change of state in the stream, if there is one, and wakes those who wait for the task. */
  changed(task: BookTask, event: string, fields: Readonly<Record<string, string>> = {}): void {
    if (task.announced > 0 && event !== 'active') this.#state(task, this.view(task).state);
    for (const listener of this.#jobListeners.get(task.id) ?? []) listener(event, fields);
  }

  /** Entries of a stream after an id, oldest first. */
  entries(key: string): readonly StreamEntry[] {
    return this.#streams.get(key) ?? [];
  }

  async listen(_queue: string, id: string, listener: JobListener): Promise<() => void> {
    return addTo(this.#jobListeners, id, listener);
  }

  /** The end of a job that is no longer stored: a fake producer keeps all of them. */
  async endOf(): Promise<JobEnd | null> {
    return null;
  }

  async follow(key: string, listener: StreamListener): Promise<() => void> {
    return addTo(this.#streamListeners, key, listener);
  }

  clear(): void {
    for (const map of [this.tasks, this.pauses, this.#streams]) map.clear();
  }

  #state(task: BookTask, state: TaskState): void {
    const ofAttempt = state === 'running' || state === 'retrying' ? ['attempt', String(task.attempt)] : [];
    this.#append(task, ['type', 'state', 'data', JSON.stringify(state), ...ofAttempt]);
  }

  #append(task: BookTask, fields: string[]): void {
    const stream = this.#streamOf(task);
    const entry = { id: `${this.now()}-${(this.#entries += 1)}`, fields };
    stream.push(entry);
    for (const listener of this.#streamListeners.get(this.keys.events(task.id)) ?? []) listener([entry]);
  }

  #streamOf(task: BookTask): StreamEntry[] {
    const key = this.keys.events(task.id);
    const stream = this.#streams.get(key) ?? [];
    this.#streams.set(key, stream);
    return stream;
  }
}

function addTo<Listener>(map: Map<string, Set<Listener>>, key: string, listener: Listener): () => void {
  const listeners = map.get(key) ?? new Set();
  map.set(key, listeners.add(listener));
  return () => void listeners.delete(listener);
}

/** @throws FleetError `TASK_FINISHED` */
export function requireLive(task: BookTask): BookTask {
  if (!isTerminal(task.state)) return task;
  throw new FleetError('TASK_FINISHED', `Task ${task.id} has already ended as ${task.state}.`, {
    details: { id: task.id, state: task.state },
  });
}
