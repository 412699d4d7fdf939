import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';
import { baseQueue, shardsOf } from '../../shared/task/shards.js';
import type { LoadedHandler } from '../task-modules.js';

/** Slots of the maintenance queue, independent of WORKER_CONCURRENCY: a run that waits for a lock must not block the others. */
const MAINTENANCE_SLOTS = 8;

type Slotted = Pick<LoadedHandler, 'definition' | 'alwaysIsolated'>;

/**
 * Returns the slots of each BullMQ queue. The slots of a sharded queue are divided over its shards, rounded up. A queue with isolated tasks
 * only gets no more slots than there are threads: further tasks would only wait for a thread.
 */
export function slotsByQueue(handlers: Iterable<Slotted>, concurrency: number, threads: number): Map<string, number> {
  const queues = new Map<string, { onlyIsolated: boolean; shards: string[] }>();
  for (const { definition, alwaysIsolated } of handlers) {
    const { onlyIsolated, shards } = queues.get(definition.queue) ?? { onlyIsolated: true, shards: [] };
    const own = shardsOf(definition);
    queues.set(definition.queue, { onlyIsolated: onlyIsolated && alwaysIsolated, shards: own.length > shards.length ? own : shards });
  }
  const slotsOf = (queue: string, onlyIsolated: boolean): number => {
    if (queue === MAINTENANCE_QUEUE) return MAINTENANCE_SLOTS;
    return onlyIsolated ? Math.min(concurrency, threads) : concurrency;
  };
  return new Map(
    [...queues].flatMap(([queue, { onlyIsolated, shards }]) =>
      shards.map((shard): [string, number] => [shard, Math.ceil(slotsOf(queue, onlyIsolated) / shards.length)]),
    ),
  );
}

/**
 * Returns slots for the shards among `names` that belong to a queue in `slots` but are missing there: as many as if all shards had been
 * known from the start. Known shards keep theirs.
 */
export function slotsOfOthers(slots: ReadonlyMap<string, number>, names: Iterable<string>): Map<string, number> {
  const others = [...names].filter((name) => baseQueue(name) !== name && slots.has(baseQueue(name)) && !slots.has(name));
  const shardsAmong = (queues: Iterable<string>, base: string): number => [...queues].filter((name) => baseQueue(name) === base).length;
  return new Map(
    others.map((name) => {
      const base = baseQueue(name);
      const known = shardsAmong(slots.keys(), base);
      return [name, Math.ceil(((slots.get(base) as number) * known) / (known + shardsAmong(others, base)))];
    }),
  );
}
