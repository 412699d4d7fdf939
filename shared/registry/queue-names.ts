import { isName, quote } from '../keys.js';
import type { RecordSource } from '../unreadable.js';

/** More than any fleet has: of so many names, most are of queues that never were. */
const MANY = 500;
/** BullMQ's keys of which a queue that was ever used has one. */
const USED = ['meta', 'id', 'wait', 'active', 'delayed', 'prioritized', 'completed', 'failed', 'waiting-children'];

/** Every queue that ever had a task or a worker, sorted. What is no name is reported; of very many names, those of queues that exist. */
export async function readQueueNames(source: RecordSource): Promise<string[]> {
  const { redis, keys, unreadable } = source;
  const members = await unreadable.read(keys.queues, 'set', redis.smembers(keys.queues), []);
  const names = members.filter((name) => {
    if (!isName(name)) unreadable.report({ key: keys.queues, id: name, problem: `expected the name of a queue, got ${quote(name)}` });
    return isName(name);
  });
  return (names.length > MANY ? await existing(source, names) : names).sort();
}

async function existing({ redis, keys, unreadable }: RecordSource, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map((name) => redis.exists(...USED.map((key) => keys.jobs(name) + key))));
  const used = names.filter((_, index) => (found[index] ?? 0) > 0);
  if (used.length < names.length)
    unreadable.report({
      key: keys.queues,
      problem: `expected the names of queues; ${names.length - used.length} of ${names.length} are of queues without a key`,
    });
  return used;
}
