import { isName, quote } from '../keys.js';
import type { RecordSource } from '../records/unreadable.js';

/** More than any fleet has: with this many names, most are of queues that never existed. */
const MANY = 500;
/** A queue that was ever used has at least one of these BullMQ keys. */
const USED = ['meta', 'id', 'wait', 'active', 'delayed', 'prioritized', 'completed', 'failed', 'waiting-children'];

/** Returns all queues that ever had a task or worker, sorted. Reports invalid names; beyond 500 names, checks which queues exist. */
export async function readQueueNames(source: RecordSource): Promise<string[]> {
  const { redis, keys, unreadable } = source;
  const members = await unreadable.read(keys.queues, 'set', redis.smembers(keys.queues), []);
  const names = members.filter((name) => {
    if (!isName(name)) unreadable.report({ key: keys.queues, id: name, problem: `expected a queue name, got ${quote(name)}` });
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
      problem: `expected queue names; ${names.length - used.length} of ${names.length} queues have no key`,
    });
  return used;
}
