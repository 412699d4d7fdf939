import { Cluster, type Redis } from 'ioredis';
import type { Store } from '../../../../shared/store.js';

/** Returns the ids of a queue's retained jobs. */
export async function endedIds({ redis, keys }: Store, queue: string): Promise<Set<string>> {
  const jobs = keys.jobs(queue);
  return new Set((await Promise.all([redis.zrange(`${jobs}completed`, '0', '-1'), redis.zrange(`${jobs}failed`, '0', '-1')])).flat());
}

/** Returns leftovers of a queue at rest: entries of the registry, queued or active jobs, locks, jobs in no list. */
export async function leftovers({ redis, keys }: Store, queue: string, ended: ReadonlySet<string>): Promise<Record<string, number>> {
  const jobs = keys.jobs(queue);
  const [tasks, queues, live, pendingStops, items, children, own] = await Promise.all([
    redis.hgetall(keys.tasks),
    redis.hgetall(keys.taskQueues),
    redis.zrange(keys.live, '0', '-1'),
    redis.hlen(keys.pendingStops),
    Promise.all([keysLike(redis, keys.ownItem('*')), keysLike(redis, keys.item('*'))]).then((found) => found.flat()),
    keysLike(redis, `${keys.prefix}*tasks:children:*`),
    keysLike(redis, `${jobs}*`),
  ]);
  const [wait, paused, active, delayed, prioritized, waitingChildren] = await Promise.all([
    redis.llen(`${jobs}wait`),
    redis.llen(`${jobs}paused`),
    redis.llen(`${jobs}active`),
    redis.zcard(`${jobs}delayed`),
    redis.zcard(`${jobs}prioritized`),
    redis.zcard(`${jobs}waiting-children`),
  ]);
  const locks = own.filter((key) => key.endsWith(':lock')).length;
  const ghosts = own.map((key) => key.slice(jobs.length)).filter((id) => UUID.test(id) && !ended.has(id)).length;
  return {
    ...{
      tasks: Object.keys(tasks).length,
      queues: Object.keys(queues).length,
      live: live.length,
      items: items.length,
      children: children.length,
      early_stops: pendingStops,
    },
    ...{ wait, paused, active, delayed, prioritized, waiting_children: waitingChildren, locks, ghosts },
  };
}

const UUID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;

/** Returns the matching keys of all nodes. */
async function keysLike(redis: Redis | Cluster, pattern: string): Promise<string[]> {
  const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
  return (await Promise.all(nodes.map((node) => node.keys(pattern)))).flat();
}
