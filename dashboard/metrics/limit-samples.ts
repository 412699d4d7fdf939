import { isName, quote } from '../../shared/keys.js';
import { describeKeys } from '../../shared/limiter/list/key-status.js';
import type { KeyStatus } from '../../shared/limiter/standing.js';
import type { Store } from '../../shared/store.js';
import { type Sample, sample } from './exposition.js';

/** Names with a series of their own; the others share `unknown`. */
const MAX_NAMES = 500;
const NAME = 'name:';

/** Oldest lines whose first task is read. */
const READ_LINES = 20;

/** Returns the tasks in line by name, the number of lines, and the longest wait. No label holds a key: their number is unbounded. */
export async function limitSamples({ redis, keys, clock, unreadable }: Store): Promise<Sample[]> {
  const [waitingKey, linesKey] = [keys.limiter('waiting'), keys.limiter('lines')];
  const [waiting, lines, oldest] = await Promise.all([
    unreadable.read(waitingKey, 'hash', redis.hgetall(waitingKey), {}),
    unreadable.read(linesKey, 'sorted set', redis.zcard(linesKey), 0),
    unreadable.read(linesKey, 'sorted set', redis.zrange(linesKey, '0', String(READ_LINES - 1)), []),
  ]);
  const first = await unreadable.read(keys.limiter('tasks'), 'hash', describeKeys(redis, keys, oldest), [] as KeyStatus[]);
  const waits = first.map(({ waitingSince }) => clock.now() - (waitingSince?.getTime() ?? clock.now()));
  const byName = new Map<string, number>();
  for (const [field, text] of Object.entries(waiting)) {
    if (!field.startsWith(NAME)) continue;
    const count = /^\d{1,15}$/.test(text) ? Number(text) : null;
    if (count === null) unreadable.report({ key: waitingKey, id: field, problem: `expected a whole number, got ${quote(text)}` });
    const given = field.slice(NAME.length);
    const name = isName(given) && (byName.size < MAX_NAMES || byName.has(given)) ? given : 'unknown';
    byName.set(name, (byName.get(name) ?? 0) + (count ?? 0));
  }
  return [
    ...[...byName].map(([name, count]) => sample('taskfleet_tasks_in_line', count, { name })),
    sample('taskfleet_limit_lines', lines),
    sample('taskfleet_limit_oldest_wait_seconds', Math.max(0, ...waits) / 1_000),
  ];
}
