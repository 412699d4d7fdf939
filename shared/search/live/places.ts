import { type TaskState, isTerminal } from '../../task/state.js';
import type { SearchStore } from '../source.js';

/** The lists of a queue that may have live tasks, and how they are read. */
const LISTS = { wait: 'list', paused: 'list', active: 'list', prioritized: 'zset', delayed: 'zset', 'waiting-children': 'zset' } as const;
type Place = keyof typeof LISTS;

const QUEUED: readonly Place[] = ['wait', 'paused', 'prioritized', 'delayed'];

/** The lists that have the tasks of a state. */
const PLACES: Readonly<Partial<Record<TaskState, readonly Place[]>>> = {
  running: ['active'],
  scheduled: ['delayed'],
  waiting: ['waiting-children'],
  queued: QUEUED,
  retrying: QUEUED,
  stopping: [...QUEUED, 'active', 'waiting-children'],
};

/** Returns the lists that have all live tasks in these states; null if tasks may be in none. */
export function placesOf(states: ReadonlySet<TaskState>): readonly Place[] | null {
  const places = new Set<Place>();
  for (const state of states) {
    const lists = PLACES[state];
    if (lists) for (const place of lists) places.add(place);
    else if (!isTerminal(state)) return null;
  }
  return [...places];
}

/** Returns the number of entries of the lists of some queues. */
export async function sizeOfPlaces(
  { redis, keys, unreadable }: SearchStore,
  queues: readonly string[],
  places: readonly Place[],
): Promise<number> {
  const sizes = await Promise.all(
    queues.flatMap((queue) =>
      places.map((place) => {
        const key = keys.jobs(queue) + place;
        return LISTS[place] === 'list'
          ? unreadable.read(key, 'list', redis.llen(key), 0)
          : unreadable.read(key, 'sorted set', redis.zcard(key), 0);
      }),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Reads the ids in the lists of some queues, each with its queue. */
export async function readPlaces(
  { redis, keys, unreadable }: SearchStore,
  queues: readonly string[],
  places: readonly Place[],
): Promise<(readonly [id: string, queue: string])[]> {
  const read = (queue: string, place: Place): Promise<string[]> => {
    const key = keys.jobs(queue) + place;
    return LISTS[place] === 'list'
      ? unreadable.read(key, 'list', redis.lrange(key, 0, -1), [])
      : unreadable.read(key, 'sorted set', redis.zrange(key, '0', '-1'), []);
  };
  const lists = await Promise.all(
    queues.flatMap((queue) => places.map(async (place) => (await read(queue, place)).map((id) => [id, queue] as const))),
  );
  return lists.flat();
}
