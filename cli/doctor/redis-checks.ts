import type { Redis } from 'ioredis';
import { formatMs } from '../../shared/duration.js';
import { type Check, fail, ok, warn } from './check.js';

/** The fields of INFO by name. */
type Info = ReadonlyMap<string, string>;

const OLDEST = { major: 6, minor: 2 };
const PINGS = 200;
const SLOW_PING_MS = 20;
const MAX_CLOCK_DIFFERENCE_MS = 1_000;

/** What Redis must be like for tasks to be safe and stops to be fast. */
export async function checkRedis(redis: Redis): Promise<Check[]> {
  const info = parseInfo(await redis.info());
  const saves = await configOf(redis, 'save');
  return [checkVersion(info), checkEviction(info), checkPersistence(info, saves), await checkLatency(redis), await checkClock(redis)];
}

export function parseInfo(text: string): Info {
  const fields = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

export function checkVersion(info: Info): Check {
  const version = info.get('redis_version') ?? 'unknown';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const product = info.get('server_name') === 'valkey' ? `Valkey ${info.get('valkey_version')}, compatible with Redis ${version}` : `Redis ${version}`;
  if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) return ok('version', product);
  return fail('version', `${product} is too old`, `Use Redis ${OLDEST.major}.${OLDEST.minor} or newer: the scripts need its commands.`);
}

export function checkEviction(info: Info): Check {
  const policy = info.get('maxmemory_policy') ?? 'unknown';
  if (policy === 'noeviction') return ok('eviction', 'noeviction');
  return fail(
    'eviction',
    `maxmemory-policy is ${policy}: a Redis that is short of memory would drop tasks`,
    'Set maxmemory-policy noeviction in redis.conf, and now: redis-cli config set maxmemory-policy noeviction',
  );
}

/** `saves` is the setting `save`, null if Redis does not tell. */
export function checkPersistence(info: Info, saves: string | null): Check {
  const name = 'persistence';
  if (info.get('aof_enabled') === '1') {
    if (info.get('aof_last_write_status') !== 'err') return ok(name, 'append-only file');
    return fail(name, 'the last write to the append-only file failed', "Look at Redis's log and at the free space on its disk.");
  }
  const advice = 'Set appendonly yes, so that a restart of Redis loses a second of work at the most.';
  if (saves === '') return warn(name, 'none: a restart of Redis loses all tasks', advice);
  if (info.get('rdb_last_bgsave_status') === 'err') return fail(name, 'the last snapshot failed', "Look at Redis's log and at the free space on its disk.");
  return warn(name, 'snapshots only: a crash of Redis loses what came after the last one', advice);
}

async function checkLatency(redis: Redis): Promise<Check> {
  const times: number[] = [];
  for (let i = 0; i < PINGS; i += 1) {
    const sentAt = performance.now();
    await redis.ping();
    times.push(performance.now() - sentAt);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.ceil(share * times.length) - 1] as number;
  const message = `p50 ${formatMs(at(0.5))}, p99 ${formatMs(at(0.99))} of ${PINGS} PINGs`;
  if (at(0.5) <= SLOW_PING_MS) return ok('latency', message);
  return warn('latency', message, 'Run the fleet near its Redis: every task takes some round trips.');
}

async function checkClock(redis: Redis): Promise<Check> {
  const before = Date.now();
  const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
  const difference = seconds * 1_000 + micros / 1_000 - (before + Date.now()) / 2;
  const message = `${formatMs(Math.abs(difference))} ${difference < 0 ? 'ahead of' : 'behind'} that of Redis`;
  if (Math.abs(difference) <= MAX_CLOCK_DIFFERENCE_MS) return ok('clock', message);
  return warn('clock', message, 'Synchronise the clocks (NTP): ages, delays and latencies are off by this much.');
}

/** Null where CONFIG is not allowed, as at many providers. */
async function configOf(redis: Redis, name: string): Promise<string | null> {
  try {
    return (await redis.config('GET', name))[1] ?? null;
  } catch {
    return null;
  }
}
