import { MAINTENANCE_QUEUE } from '../shared/task/builtin/index.js';
import { baseQueue, shardsOf } from '../shared/task/shards.js';
import type { LoadedHandler } from './task-modules.js';

/** Of what the fleet does for itself, whatever WORKER_CONCURRENCY is: a run that waits for a lock must not hold up the rest. */
const MAINTENANCE_SLOTS = 8;

type Slotted = Pick<LoadedHandler, 'definition' | 'alwaysIsolated'>;

/**
 * Slots of each BullMQ queue. Those of a queue are divided over its shards, rounded up. Where all tasks are isolated, more
 * slots than threads would hold tasks that only wait.
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
 * Slots of the shards among `names` whose queue is in `slots` and that are not there themselves: as many as each shard
 * would have if all of them were known from the start. The others keep theirs.
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
