import { MAX_KEPT_CHILDREN } from '../../../shared/limits.js';
import { CollectedCommands } from '../../../shared/registry/collected-commands.js';
import type { MergedWrites, Words } from '../../../shared/registry/merged-writes.js';
import type { Registrar } from '../../../shared/registry/registrar.js';
import type { Store } from '../../../shared/store.js';
import { membershipsOf } from '../../../shared/task/job-options.js';
import type { Unwritten } from './admission.js';

/** A task of a batch. */
export interface Registered extends Unwritten {
  /** Whether the task is registered already, except in the indexes. */
  readonly registered: boolean;
}

/** The commands of a registration that another script runs. */
interface CollectedRegistration {
  /** Each command's name and arguments. */
  readonly commands: readonly Words[];
  /** Notes that they ran. */
  readonly done: () => void;
}

/** Queues are registered again after this time, in case Redis has lost its data. */
const KNOWN_MS = 10_000;

/** Registers the tasks of a batch with a few commands, before their jobs are written. */
export class BatchRegistration {
  /** When each queue was last registered (performance.now). */
  readonly #knownQueues = new Map<string, number>();

  constructor(
    private readonly store: Store,
    private readonly registrar: Registrar,
  ) {
    // A restarted Redis may have lost its data.
    store.redis.on('close', () => this.#knownQueues.clear());
  }

  /** Registers tasks, those of one item and of one parent together. @throws the first error that may be temporary */
  async add(pending: readonly Registered[]): Promise<void> {
    const { redis, keys } = this.store;
    const children = new Map<string, string[]>();
    for (const { job, task } of pending) {
      if (!task.parent) continue;
      const parent = keys.jobs(task.parent.queue) + task.parent.id;
      children.set(parent, [...(children.get(parent) ?? []).slice(1 - MAX_KEPT_CHILDREN), job.id]);
    }
    const sent: unknown[] = [...children].map(([parent, ids]) => redis.markParent(parent, MAX_KEPT_CHILDREN, ...ids));
    const queues = this.#newQueues(pending);
    for (const queue of queues) sent.push(redis.sadd(keys.queues, queue));
    await this.registrar.settle([...sent, ...this.#writesOf(pending).flushInto(redis)]);
    this.#know(queues);
  }

  /** Collects the commands that register tasks without parents. */
  collect(pending: readonly Registered[]): CollectedRegistration {
    const commands = new CollectedCommands();
    const queues = this.#newQueues(pending);
    for (const queue of queues) commands.sadd(this.store.keys.queues, queue);
    this.#writesOf(pending).flushAddedInto(commands);
    return { commands: commands.all, done: () => this.#know(queues) };
  }

  #writesOf(pending: readonly Registered[]): MergedWrites {
    const writes = this.store.registry.writes();
    for (const { job, queue, registered } of pending) {
      const registration = { id: job.id, ...membershipsOf(job.opts, job.name), queue, at: job.timestamp };
      if (registered) writes.index(registration);
      else writes.add(registration);
    }
    return writes;
  }

  #newQueues(pending: readonly Registered[]): Set<string> {
    const since = performance.now() - KNOWN_MS;
    const queues = new Set<string>();
    for (const { queue } of pending) if ((this.#knownQueues.get(queue) ?? -Infinity) < since) queues.add(queue);
    return queues;
  }

  #know(queues: Iterable<string>): void {
    const now = performance.now();
    for (const queue of queues) this.#knownQueues.set(queue, now);
  }

  /** Removes tasks whose jobs do not exist. Never rejects: the reconciler removes leftover entries. */
  async remove(missing: readonly Unwritten[]): Promise<void> {
    const writes = this.store.registry.writes();
    for (const { job } of missing) writes.remove(job.id, membershipsOf(job.opts, job.name));
    await Promise.allSettled(writes.flushInto(this.store.redis));
  }
}
