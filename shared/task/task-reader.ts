import { append } from '../groups.js';
import { isWrongType } from '../records/unreadable.js';
import { isUnavailability } from '../redis/connection-errors.js';
import type { Entry, Registry } from '../registry/registry.js';
import { isQueueKey } from '../reserved-ids.js';
import { readOptions } from './job-options.js';
import { type Detail, type TaskSource, readTasks } from './read-tasks.js';
import type { TaskView } from './view.js';

/** The locations of tasks: on a queue, or registered by another program. Unknown ids are in neither. */
export interface Located {
  readonly byQueue: Map<string, string[]>;
  /** Id → item. */
  readonly foreign: Map<string, string | null>;
  /** Id → why its location is unreadable. */
  readonly unreadable: Map<string, string>;
}

/** Finds and reads tasks by id, live or ended. */
export class TaskReader {
  readonly #source: TaskSource;
  readonly #registry: Registry;

  constructor(source: TaskSource, registry: Registry) {
    this.#source = source;
    this.#registry = registry;
  }

  /** Locates tasks: one round trip for live ones, two more to search every queue for the rest, which may have ended. */
  async locate(ids: readonly string[]): Promise<Located> {
    const entries = await this.#registry.find(ids);
    return this.locateEntries(new Map(ids.map((id, index) => [id, entries[index] ?? null])));
  }

  /** Locates tasks whose registry entries are known; null for an id that is not live. */
  async locateEntries(entries: ReadonlyMap<string, Entry | null>): Promise<Located> {
    const located: Located = { byQueue: new Map(), foreign: new Map(), unreadable: new Map() };
    const rest: string[] = [];
    for (const [id, entry] of entries) {
      if (entry?.queue) append(located.byQueue, entry.queue, id);
      else if (entry && entry.problem === undefined) located.foreign.set(id, entry.item);
      else rest.push(id);
    }
    if (rest.length === 0) return located;
    const found = await this.#locateEnded(rest, located.byQueue);
    for (const id of rest) {
      const problem = entries.get(id)?.problem;
      if (problem !== undefined && !found.has(id)) located.unreadable.set(id, problem);
    }
    return located;
  }

  /** Returns the found ids. */
  async #locateEnded(ids: readonly string[], byQueue: Map<string, string[]>): Promise<Set<string>> {
    const names = await this.#registry.queueNames();
    const found = new Set<string>();
    const kept = await Promise.all(names.map((name) => this.#areKept(name, ids)));
    ids.forEach((id, place) => {
      const queue = names.find((_, index) => kept[index]?.[place]);
      if (queue === undefined) return;
      append(byQueue, queue, id);
      found.add(id);
    });
    return found;
  }

  /** Returns for each id whether it is a job of the queue. */
  async #areKept(queue: string, ids: readonly string[]): Promise<boolean[]> {
    const { redis, keys } = this.#source;
    const pipeline = redis.pipeline();
    // Jobs have a timestamp; the similar records of schedulers do not.
    for (const id of ids) pipeline.hexists(keys.jobs(queue) + id, 'timestamp');
    const replies = answered(await pipeline.exec());
    // A key of another type is an unreadable job, unless it is one of BullMQ's own keys.
    return replies.map(([error, exists], index) => exists === 1 || (isWrongType(error) && !isQueueKey(ids[index] as string)));
  }

  /** Reads the tasks that exist, by id. */
  async read(ids: readonly string[], detail: Detail = 'summary'): Promise<Map<string, TaskView>> {
    return this.readLocated(await this.locate(ids), detail);
  }

  /** Reads tasks that were located. */
  async readLocated({ byQueue, foreign, unreadable }: Located, detail: Detail = 'summary'): Promise<Map<string, TaskView>> {
    const tasks = new Map<string, TaskView>();
    for (const [id, problem] of unreadable) tasks.set(id, unreadableTask(id, problem));
    for (const [id, item] of foreign) tasks.set(id, foreignTask(id, item));
    await Promise.all([...byQueue].map(([queue, some]) => this.readOn(queue, some, tasks, detail)));
    return tasks;
  }

  /** Returns the items of live tasks by id, null for none: our own from the job, foreign ones from the registry. */
  async itemsOf(ids: readonly string[]): Promise<Map<string, string | null>> {
    const items = new Map<string, string | null>();
    const byQueue = new Map<string, string[]>();
    for (const entry of await this.#registry.find(ids)) {
      if (entry?.queue) append(byQueue, entry.queue, entry.id);
      else if (entry) items.set(entry.id, entry.item);
    }
    await Promise.all([...byQueue].map(([queue, some]) => this.#itemsOn(queue, some, items)));
    return items;
  }

  async #itemsOn(queue: string, ids: readonly string[], items: Map<string, string | null>): Promise<void> {
    const { redis, keys } = this.#source;
    const pipeline = redis.pipeline();
    for (const id of ids) pipeline.hget(keys.jobs(queue) + id, 'opts');
    const replies = answered(await pipeline.exec());
    ids.forEach((id, index) => items.set(id, readOptions(replies[index]?.[1]).item || null));
  }

  /** Reads tasks of a known queue into `tasks`. Skips BullMQ's own keys. */
  async readOn(queue: string, ids: readonly string[], tasks: Map<string, TaskView>, detail: Detail = 'summary'): Promise<void> {
    for (const task of await readTasks(
      this.#source,
      queue,
      ids.filter((id) => !isQueueKey(id)),
      detail,
    ))
      if (task) tasks.set(task.id, task);
  }
}

/** Returns the view of a task whose location is unreadable. */
function unreadableTask(id: string, problem: string): TaskView {
  return { ...foreignTask(id, null), state: 'unreadable', attempt: 0, error: problem, problem };
}

/** Returns the view of a task that another program registered and runs. */
export function foreignTask(id: string, item: string | null): TaskView {
  return {
    ...{
      id,
      item,
      tags: [],
      name: null,
      queue: null,
      state: 'running',
      waitingFor: null,
      attempt: 1,
      maxAttempts: null,
      attempts: null,
      nextAttemptAt: null,
      progress: null,
      result: null,
      error: null,
      problem: null,
      stop: null,
      skippedFor: null,
      dedupeKey: null,
      priority: 0,
      deadline: null,
      limits: null,
    },
    ...{ enqueuedAt: null, startedAt: null, finishedAt: null, worker: null },
  };
}

/** Throws if a command was unanswered. Any other error concerns one key, which is not a hash. */
function answered(replies: [error: Error | null, reply: unknown][] | null): [error: Error | null, reply: unknown][] {
  const unanswered = replies?.find(([error]) => isUnavailability(error));
  if (unanswered) throw unanswered[0] as Error;
  return replies ?? [];
}
