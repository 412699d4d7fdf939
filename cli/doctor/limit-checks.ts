import { setTimeout as delay } from 'node:timers/promises';
import { limitText } from '../../dashboard/page/parts/waiting-text.js';
import { EVERY_KEY, parseLimitId } from '../../shared/limiter/limit-id.js';
import { describeKeys } from '../../shared/limiter/list/key-status.js';
import { type LimitSettings, readLimitSettings } from '../../shared/limiter/list/published-limits.js';
import type { KeyStatus } from '../../shared/limiter/standing.js';
import { problemOfRecord } from '../../shared/limiter/task-record.js';
import type { RecordSource } from '../../shared/records/unreadable.js';
import { defineScripts } from '../../shared/scripts/define-scripts.js';
import { oneLine } from '../text/output.js';
import { formatAge } from '../text/table.js';
import { type Check, ok, warn } from './check.js';

const NAME = 'limits';
/** A longer wait is worth a look. */
const LONG_WAIT_MS = 600_000;
/** Lines described, and records read, so that the doctor does not slow down a fleet with a million tasks. */
const MAX_LINES = 50;
const MAX_HOLDERS = 100;
const MAX_RECORDS = 5_000;
const SCANNED_AT_ONCE = 1_000;
/** Within this time, the release of a task that has just ended is written. */
const RELEASE_MS = 1_000;
const NAMED = 3;

/** Checks the lines for limits, what was set at run time, and places that ended tasks still hold. */
export async function checkLimits(source: RecordSource, now: number): Promise<Check[]> {
  const settings = await readLimitSettings(source);
  const { lines, waiting, oldest } = await readLines(source);
  return [checkLines(lines, waiting, oldest, now), ...checkSettings(settings), ...(await checkLeaks(source))];
}

interface Lines {
  /** Number of keys with a line. */
  readonly lines: number;
  /** Tasks in line. */
  readonly waiting: number;
  /** The key of the oldest line whose first task has waited longest; null without lines. */
  readonly oldest: KeyStatus | null;
}

async function readLines({ redis, keys, unreadable }: RecordSource): Promise<Lines> {
  const [linesKey, waitingKey] = [keys.limiter('lines'), keys.limiter('waiting')];
  const [lines, ids, counts] = await Promise.all([
    unreadable.read(linesKey, 'sorted set', redis.zcard(linesKey), 0),
    unreadable.read(linesKey, 'sorted set', redis.zrange(linesKey, '0', String(MAX_LINES - 1)), []),
    unreadable.read(waitingKey, 'hash', redis.hgetall(waitingKey), {}),
  ]);
  const waiting = Object.entries(counts).reduce((sum, [field, count]) => (field.startsWith('name:') ? sum + (Number(count) || 0) : sum), 0);
  const described = await unreadable.read(keys.limiter('tasks'), 'hash', describeKeys(defineScripts(redis), keys, ids), []);
  const waitsSince = ({ waitingSince }: KeyStatus): number => waitingSince?.getTime() ?? Infinity;
  const [oldest = null] = described.toSorted((a, b) => waitsSince(a) - waitsSince(b));
  return { lines, waiting, oldest };
}

function checkLines(lines: number, waiting: number, oldest: KeyStatus | null, now: number): Check {
  if (oldest === null) return ok(NAME, 'no task in line');
  const { id, limit, running, waitingSince } = oldest;
  const { kind, name, key } = parseLimitId(id);
  const waited = waitingSince === null ? 0 : now - waitingSince.getTime();
  const about = kind === 'concurrency' ? ` (limit ${limit ?? '?'}, ${running} running)` : '';
  const message =
    `${waiting} tasks in line for ${lines} ${lines === 1 ? 'key' : 'keys'}, ` +
    `the oldest for ${formatAge(waited)}: ${oneLine(limitText({ kind, name, key }))}${about}`;
  if (waited <= LONG_WAIT_MS) return ok(NAME, message);
  const advice =
    kind === 'concurrency'
      ? 'See taskfleet limit list. Raise the limit (taskfleet limit set), or stop the tasks that hold its places.'
      : 'See taskfleet limit list. Tasks come faster than the limit admits them.';
  return warn(NAME, message, advice);
}

/** Reports limits of 0, which let no task start. */
function checkSettings({ set }: LimitSettings): Check[] {
  const paused = [...set].flatMap(([id, limit]) => (limit === 0 ? [id] : []));
  if (paused.length === 0) return [];
  const names = paused.slice(0, NAMED).map((id) => {
    const { name, key } = parseLimitId(id);
    return oneLine(key === null ? name : `${key === EVERY_KEY ? 'each key' : key} of ${name}`);
  });
  const more = paused.length > NAMED ? ` and ${paused.length - NAMED} more` : '';
  return [warn(NAME, `a limit of 0 lets no task start: ${names.join(', ')}${more}`, 'If that is no longer wanted: taskfleet limit clear.')];
}

/** Reports places held by tasks that are not registered any more. */
async function checkLeaks(source: RecordSource): Promise<Check[]> {
  let leaked = await unregistered(source, await holders(source));
  if (leaked.length > 0) {
    await delay(RELEASE_MS);
    const still = new Set(await holders(source));
    leaked = await unregistered(
      source,
      leaked.filter((id) => still.has(id)),
    );
  }
  if (leaked.length === 0) return [];
  const more = leaked.length > NAMED ? ` and ${leaked.length - NAMED} more` : '';
  const message = `places are held by tasks that have ended: ${leaked.slice(0, NAMED).map(oneLine).join(', ')}${more}`;
  return [warn(NAME, message, "A worker frees them within a minute or two. If they stay, check the workers' logs.")];
}

/** Returns the tasks with a record, and those that hold places of keys with the oldest lines; up to a number. */
async function holders({ redis, keys, unreadable }: RecordSource): Promise<string[]> {
  const ids = new Set<string>();
  const tasksKey = keys.limiter('tasks');
  for (let cursor = '0', first = true; (first || cursor !== '0') && ids.size < MAX_RECORDS; first = false) {
    const [next, flat] = await unreadable.read(tasksKey, 'hash', redis.hscan(tasksKey, cursor, 'COUNT', SCANNED_AT_ONCE), ['0', []]);
    for (let i = 0; i < flat.length; i += 2) {
      const problem = problemOfRecord(flat[i + 1] as string);
      if (problem === null) ids.add(flat[i] as string);
      else unreadable.report({ key: tasksKey, id: flat[i], problem });
    }
    cursor = next;
  }
  const lines = await unreadable.read(
    keys.limiter('lines'),
    'sorted set',
    redis.zrange(keys.limiter('lines'), '0', String(MAX_LINES - 1)),
    [],
  );
  for (const line of lines) {
    const key = keys.limiter(`places:${line}`);
    for (const id of await unreadable.read(key, 'sorted set', redis.zrange(key, '0', String(MAX_HOLDERS - 1)), [])) ids.add(id);
  }
  return [...ids];
}

async function unregistered({ redis, keys, unreadable }: RecordSource, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const queues = await unreadable.read(keys.taskQueues, 'hash', redis.hmget(keys.taskQueues, ...ids), null);
  return queues === null ? [] : ids.filter((_, index) => queues[index] === null);
}
