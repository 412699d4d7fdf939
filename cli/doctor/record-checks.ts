import { messageOf } from '../../shared/errors.js';
import { isName, quote } from '../../shared/keys.js';
import { chunks } from '../../shared/limits.js';
import { parsePlan } from '../../shared/records/billing-plan.js';
import { type KeyType, RecordReporter, type RecordSource, type UnreadableRecord, wrongType } from '../../shared/records/unreadable.js';
import { readQueueNames } from '../../shared/registry/reads.js';
import { readIndexes } from '../../shared/retention/indexes.js';
import { parseSchedule } from '../../shared/schedule/schedule.js';
import { defineScripts } from '../../shared/scripts/define-scripts.js';
import { READ_PLACES } from '../../shared/task/queues.js';
import { readTasks } from '../../shared/task/read-tasks.js';
import { type Check, ok, warn } from './check.js';

const NAME = 'records';
/** Maximum ids checked in each list, so that the doctor does not slow down a fleet with a million tasks. */
const MAX_IDS = 500;
const MAX_QUEUES = 200;
/** Maximum number of records listed individually. */
const MAX_LINES = 50;
/** Unreadable records kept; further ones are only counted. */
const MAX_RECORDS = 1_000;
/** Commands that remove a member, by type of the key. */
const REMOVALS: Readonly<Record<string, string>> = { hash: 'HDEL', set: 'SREM', zset: 'ZREM', stream: 'XDEL' };
/** The field that every job must have. */
const NEEDED = 'timestamp';

/** Collects unreadable records, each once. */
export class Findings extends RecordReporter {
  readonly #records = new Map<string, UnreadableRecord>();
  #beyond = 0;

  get records(): readonly UnreadableRecord[] {
    return [...this.#records.values()];
  }

  /** Number of reports beyond the limit. */
  get beyond(): number {
    return this.#beyond;
  }

  override report(record: UnreadableRecord): void {
    const name = JSON.stringify([record.key, record.id]);
    if (this.#records.size < MAX_RECORDS || this.#records.has(name)) this.#records.set(name, record);
    else this.#beyond += 1;
  }
}

interface Source extends RecordSource {
  readonly unreadable: Findings;
}

/** Checks that stored data is readable: the types of keys, schedules, plans, and the first tasks of each list. */
export async function checkRecords(source: Source): Promise<Check[]> {
  const { unreadable } = source;
  const types = await checkTypes(source);
  await Promise.all([
    checkSchedules(source, types),
    checkPlans(source, types),
    checkLive(source, types),
    ...(await readQueueNames(source)).slice(0, MAX_QUEUES).map((queue) => checkQueue(source, queue)),
  ]);
  const { records, beyond } = unreadable;
  if (records.length === 0) return [ok(NAME, 'all checked records are readable')];
  const lines = await Promise.all(records.slice(0, MAX_LINES).map((record) => lineOf(source, record)));
  const more = records.length - lines.length + beyond;
  return [
    ...lines,
    ...(more > 0 ? [warn(NAME, `${more} more are unreadable`, 'Repair these first, then run taskfleet doctor again.')] : []),
  ];
}

async function lineOf({ redis }: Source, record: UnreadableRecord): Promise<Check> {
  const { key, id, problem } = record;
  const type = await redis.type(key);
  const isWhole = id === undefined && (/expected an? [\w ]+, found/.test(problem) || type === 'none');
  return warn(NAME, `${key}${id === undefined ? '' : ` ${quote(id)}`} is unreadable: ${problem}`, repairOf(record, type, isWhole));
}

/** Reports, and returns, keys of the fleet with a wrong type. */
async function checkTypes({ redis, keys, unreadable }: Source): Promise<ReadonlySet<string>> {
  const expected: readonly (readonly [key: string, type: KeyType])[] = [
    ...[keys.tasks, keys.taskQueues, keys.pendingStops, keys.reconcile, keys.schedules, keys.scheduleRuns].map(
      (key) => [key, 'hash'] as const,
    ),
    ...[keys.counters, keys.plans, keys.models, keys.modelServers, keys.usagePool, keys.sessionPool].map((key) => [key, 'hash'] as const),
    ...['tasks', 'waiting', 'defined', 'set'].map((name) => [keys.limiter(name), 'hash'] as const),
    ...['lines', 'due', 'deadlines', 'admitted'].map((name) => [keys.limiter(name), 'sorted set'] as const),
    ...[keys.fleet, keys.openWebui].map((key) => [key, 'string'] as const),
    ...([
      [keys.live, 'sorted set'],
      [keys.workers, 'sorted set'],
      [keys.workerDrains, 'hash'],
      [keys.lastWorkers, 'sorted set'],
      [keys.definitions, 'sorted set'],
      [keys.queues, 'set'],
      [keys.losses, 'list'],
      [keys.audit, 'stream'],
      [keys.auditDenied, 'stream'],
    ] as const),
  ];
  return wrongTypes({ redis, keys, unreadable }, expected);
}

async function wrongTypes(
  { redis, unreadable }: Source,
  expected: readonly (readonly [key: string, type: KeyType])[],
): Promise<ReadonlySet<string>> {
  const found = await Promise.all(expected.map(([key]) => redis.type(key)));
  const wrong = expected.filter(([, type], index) => found[index] !== 'none' && found[index] !== (type === 'sorted set' ? 'zset' : type));
  for (const [key, type] of wrong) unreadable.report({ key, problem: wrongType(type) });
  return new Set(wrong.map(([key]) => key));
}

async function checkSchedules({ redis, keys, unreadable }: Source, wrong: ReadonlySet<string>): Promise<void> {
  if (wrong.has(keys.schedules)) return;
  for (const [id, text] of Object.entries(await redis.hgetall(keys.schedules))) {
    if (parseSchedule(id, text) === null) unreadable.report({ key: keys.schedules, id, problem: 'expected a schedule as JSON' });
  }
}

async function checkPlans({ redis, keys, unreadable }: Source, wrong: ReadonlySet<string>): Promise<void> {
  if (wrong.has(keys.plans)) return;
  for (const [id, text] of Object.entries(await redis.hgetall(keys.plans))) {
    try {
      parsePlan(id, text);
    } catch (error) {
      unreadable.report({ key: keys.plans, id, problem: messageOf(error) });
    }
  }
}

/** Checks that the newest live tasks have a queue and are readable there. */
async function checkLive(source: Source, wrong: ReadonlySet<string>): Promise<void> {
  const { redis, keys, unreadable } = source;
  if (wrong.has(keys.live) || wrong.has(keys.taskQueues)) return;
  const ids = await redis.zrange(keys.live, '0', String(MAX_IDS - 1), 'REV');
  const queues = ids.length === 0 ? [] : await redis.hmget(keys.taskQueues, ...ids);
  for (const queue of new Set(queues)) {
    const queued = ids.filter((_, index) => queues[index] === queue);
    if (queue === null) continue;
    if (isName(queue)) await read(source, queue, queued);
    else for (const id of queued) unreadable.report({ key: keys.taskQueues, id, problem: `expected a queue name, got ${quote(queue)}` });
  }
}

async function checkQueue(source: Source, queue: string): Promise<void> {
  const { redis, keys, unreadable } = source;
  const start = keys.jobs(queue);
  const sorted = ['completed', 'failed', 'delayed', 'prioritized', 'waiting-children'];
  const wrong = await wrongTypes(source, [
    ...['wait', 'active'].map((name) => [start + name, 'list'] as const),
    ...[...sorted, 'repeat'].map((name) => [start + name, 'sorted set'] as const),
    [`${start}meta`, 'hash'],
  ]);
  await wrongTypes(
    source,
    (await readIndexes(source, queue)).map(({ key }) => [key, 'sorted set'] as const),
  );
  for (const name of ['wait', 'active', ...sorted]) {
    const key = start + name;
    if (wrong.has(key)) continue;
    const ids = await (sorted.includes(name) ? redis.zrange(key, '0', String(MAX_IDS - 1), 'REV') : redis.lrange(key, 0, MAX_IDS - 1));
    const there = await Promise.all(ids.map((id) => redis.exists(start + id)));
    ids.forEach((id, index) => there[index] === 0 && unreadable.report({ key, id, problem: 'it is listed, but has no job' }));
    await read(
      source,
      queue,
      ids.filter((_, index) => there[index] === 1),
    );
  }
}

async function read({ redis, keys, unreadable }: Source, queue: string, ids: readonly string[]): Promise<void> {
  const queues = { readKeys: (name: string): string[] => READ_PLACES.map((place) => keys.jobs(name) + place) };
  for (const batch of chunks(ids, MAX_IDS))
    await readTasks({ redis: defineScripts(redis), queues, keys, unreadable, limiter: null }, queue, batch);
}

/**
 * Returns the command that repairs or removes an unreadable record.
 * @param type the type of the record's key, as TYPE returns it
 * @param isWhole whether the key itself has the wrong type
 */
function repairOf({ key, id, problem }: UnreadableRecord, type: string, isWhole: boolean): string {
  if (isWhole) return command('RENAME', key, `${key}.moved`);
  if (id !== undefined)
    return type === 'list'
      ? command('LREM', key, '0', id)
      : command(REMOVALS[type] ?? 'DEL', key, ...(REMOVALS[type] === undefined ? [] : [id]));
  const fields = [...problem.matchAll(/(?:^|; )(\w+)(?:\.\w+)?: expected/g)].map(([, field]) => field as string);
  const removed = [...new Set(fields)].filter((field) => field !== NEEDED);
  if (type !== 'hash' || fields.length === 0) return command('DEL', key);
  return [
    ...(fields.includes(NEEDED) ? [command('HSET', key, NEEDED, String(Date.now()))] : []),
    ...(removed.length > 0 ? [command('HDEL', key, ...removed)] : []),
  ].join(' && ');
}

function command(...words: readonly string[]): string {
  return ['redis-cli', ...words.map(quoted)].join(' ');
}

/** Quotes a word for the shell, with escapes for control characters. */
function quoted(word: string): string {
  if (/^[\w.:@%+=/-]+$/.test(word)) return word;
  // eslint-disable-next-line no-control-regex -- matches control characters on purpose
  if (!/[\u0000-\u001f\u007f-\u009f]/.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const escaped = (character: string): string => Buffer.from(character).toString('hex').replaceAll(/../g, '\\x$&');
  return `$'${word.replaceAll(/[^\w .:@%+=/-]/gu, escaped)}'`;
}
