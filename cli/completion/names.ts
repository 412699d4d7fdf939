import type { Keys } from '../../shared/keys.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import { within } from '../../shared/time.js';
import { type ApiAddress, apiOf } from '../client/api-address.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import type { NameKind } from './words.js';

/** Timeout for the fleet's answer, in ms, since a shell waits for it. */
const LIMIT_MS = 500;
/** Ids are those of the newest live tasks. */
const MAX_IDS = 50;

/** Tags and items: entries examined. Each is of one item, or of a tag of one live task. */
const MAX_TEXTS = 500;

/**
 * Asks the fleet for names, over the API or Redis. Returns none if the fleet does not answer in time.
 * @param typed the start of the names, for kinds with too many to list all
 */
export async function namesOf(io: Io, globals: GlobalOptions, kind: NameKind, typed = ''): Promise<string[]> {
  try {
    const api = apiOf(io, globals);
    const names = api ? await within(LIMIT_MS, askApi(api, kind), () => []) : await askRedis(io, globals, kind, typed);
    return [...new Set(names)];
  } catch {
    return [];
  }
}

async function askApi(address: ApiAddress, kind: NameKind): Promise<string[]> {
  const { ApiConnection } = await import('../client/http-connection.js');
  const connection = new ApiConnection(address);
  switch (kind) {
    case 'tasks':
      return connection.ask('/definitions', ({ definitions }: { definitions: { name: string }[] }) => definitions.map(({ name }) => name));
    case 'queues':
      return connection.ask('/workers', ({ workers }: { workers: { queues: string[] }[] }) => workers.flatMap(({ queues }) => queues));
    case 'workers':
      return connection.ask('/workers', ({ workers }: { workers: { id: string }[] }) => workers.map(({ id }) => id));
    case 'schedules':
      return connection.ask('/schedules', ({ schedules }: { schedules: { id: string }[] }) => schedules.map(({ id }) => id));
    case 'ids':
      return connection.ask('/tasks', ({ tasks }: { tasks: { id: string }[] }) => tasks.map(({ id }) => id), { query: { limit: MAX_IDS } });
    case 'items':
    case 'tags':
      return [];
  }
}

async function askRedis(io: Io, globals: GlobalOptions, kind: NameKind, typed: string): Promise<string[]> {
  const [{ clientSettings }, { createLoggerFactory }, { connect, hangUp }, { createKeys }] = await Promise.all([
    import('../client/settings.js'),
    import('../../shared/log/logger.js'),
    import('../../shared/redis/connect.js'),
    import('../../shared/keys.js'),
  ]);
  const settings = await clientSettings(io, globals);
  const logger = createLoggerFactory({ settings, ...io.log })('cli');
  const redis = connect({ settings, policy: 'wait', logger, name: 'taskfleet:completion' });
  try {
    return await within(LIMIT_MS, read(redis, createKeys(settings.keyPrefix, settings.cluster), kind, typed), () => []);
  } finally {
    hangUp(redis);
  }
}

/** Reads with plain commands: BullMQ would take longer to load than Redis to answer. */
async function read(redis: RedisConnection, keys: Keys, kind: NameKind, typed: string): Promise<string[]> {
  switch (kind) {
    case 'tasks':
      return namesOfTasks(redis, keys);
    case 'queues':
      return redis.smembers(keys.queues);
    case 'workers':
      return redis.zrevrange(keys.workers, 0, -1);
    case 'schedules':
      return redis.hkeys(keys.schedules);
    case 'ids':
      return redis.zrevrange(keys.live, 0, MAX_IDS - 1);
    case 'items':
    case 'tags':
      return kind === 'items' ? itemsOf(redis, keys, typed) : tagsOf(redis, keys, typed);
  }
}

/** Returns items of live tasks. */
function itemsOf(redis: RedisConnection, keys: Keys, typed: string): Promise<string[]> {
  return startingWith(redis, keys.findItems, typed);
}

/** Returns tags of live tasks, which are in `t<tag>`, NUL and the task id. */
async function tagsOf(redis: RedisConnection, keys: Keys, typed: string): Promise<string[]> {
  const found = await startingWith(redis, keys.findTexts, `t${typed}`);
  return found.map((member) => member.slice(1, member.lastIndexOf('\0')));
}

function startingWith(redis: RedisConnection, key: string, text: string): Promise<string[]> {
  const start = Buffer.from(`[${text}`);
  return redis.zrangebylex(key, start, Buffer.concat([start, Buffer.of(0xff)]), 'LIMIT', 0, MAX_TEXTS);
}

/** Returns the names of the tasks that live workers run, and of live tasks. */
async function namesOfTasks(redis: RedisConnection, keys: Keys): Promise<string[]> {
  const [workers, ofLive] = await Promise.all([redis.zrevrange(keys.workers, 0, -1), redis.smembers(keys.findNames)]);
  const schemas = await Promise.all(workers.map((id) => redis.hget(keys.worker(id), 'schemas')));
  const ofWorkers = [...new Set(schemas)].flatMap((text) => Object.keys((text === null ? {} : JSON.parse(text)) as object));
  return [...ofWorkers, ...ofLive.map((entry) => entry.slice(entry.indexOf(':') + 1))];
}
