import type { Redis } from 'ioredis';
import { formatMs } from '../../shared/duration.js';
import { messageOf } from '../../shared/errors.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import { type Check, fail, ok, warn } from './check.js';
import { type Info, replicasOf } from './redis-info.js';
import type { Server } from './topology-report.js';

const OLDEST = { major: 6, minor: 2 };
const PINGS = 200;
const SLOW_PING_MS = 20;
const MAX_CLOCK_DIFFERENCE_MS = 1_000;
const FULL = 0.9;

/** What Redis must be like for tasks to be safe and stops to be fast: of each server that takes writes. */
export async function checkRedis(redis: RedisConnection, servers: readonly Server[], settings: ConnectedSettings): Promise<Check[]> {
  const each = await Promise.all(servers.map((server) => checkServer(server, settings)));
  const [first = []] = each;
  const merged = first.map((_, index) =>
    merge(each.map((checks, server) => ({ address: servers[server]?.address ?? '', check: checks[index] as Check }))),
  );
  return [...merged, await checkLatency(redis), await checkClock((servers[0] as Server).redis)];
}

async function checkServer({ redis, info }: Server, settings: ConnectedSettings): Promise<Check[]> {
  const [saves, fsync, minReplicas] = await Promise.all(
    ['save', 'appendfsync', 'min-replicas-to-write'].map((name) => configOf(redis, name)),
  );
  return [
    checkVersion(info),
    checkEviction(info),
    checkMemory(info),
    checkPersistence(info, saves ?? null, fsync ?? null),
    checkReplicas(info, Number(minReplicas ?? 0), settings),
  ];
}

/** One of several servers: the worst, and where that is. */
function merge(found: readonly { readonly address: string; readonly check: Check }[]): Check {
  const level = (['fail', 'warn', 'ok'] as const).find((one) => found.some(({ check }) => check.level === one));
  const same = found.filter(({ check }) => check.level === level);
  const { check } = same[0] as (typeof found)[number];
  const messages = new Set(same.map((one) => one.check.message));
  if (found.length === 1 || (messages.size === 1 && same.length === found.length)) return check;
  return { ...check, message: same.map((one) => `${one.address}: ${one.check.message}`).join('; ') };
}

export function checkVersion(info: Info): Check {
  const version = info.get('redis_version') ?? 'unknown';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const product =
    info.get('server_name') === 'valkey' ? `Valkey ${info.get('valkey_version')}, compatible with Redis ${version}` : `Redis ${version}`;
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

/** Without a limit nothing stops Redis from taking all memory of its machine; with one, enqueues are refused when it is reached. */
export function checkMemory(info: Info): Check {
  const name = 'memory';
  const [used, limit, system] = ['used_memory', 'maxmemory', 'total_system_memory'].map((field) => Number(info.get(field) ?? 0)) as [
    number,
    number,
    number,
  ];
  const message = `${formatBytes(used)} used, ${limit === 0 ? 'no maxmemory' : `maxmemory ${formatBytes(limit)}`}`;
  const advice =
    'Give Redis more (maxmemory in redis.conf, or config set maxmemory), or keep ended tasks for a shorter time: when it is full, enqueues are refused.';
  if (limit > 0) return used < limit * FULL ? ok(name, message) : warn(name, message, advice);
  return system === 0 || used < system * FULL
    ? ok(name, message)
    : warn(name, `${message}, and its machine has ${formatBytes(system)}`, advice);
}

/** @param minReplicas the setting `min-replicas-to-write` */
export function checkReplicas(
  info: Info,
  minReplicas: number,
  { stopWaitReplicas, enqueueWaitReplicas }: Pick<ConnectedSettings, 'stopWaitReplicas' | 'enqueueWaitReplicas'>,
): Check {
  const name = 'replicas';
  const good = Number(info.get('min_slaves_good_slaves') ?? minReplicas);
  if (good < minReplicas)
    return fail(
      name,
      `${good} are near enough, and min-replicas-to-write is ${minReplicas}: every write is refused (NOREPLICAS)`,
      `Bring the replicas back, or now: redis-cli config set min-replicas-to-write ${good}`,
    );
  const following = replicasOf(info).filter(({ link }) => link === 'online').length;
  const wanted = Object.entries({ STOP_WAIT_REPLICAS: stopWaitReplicas, ENQUEUE_WAIT_REPLICAS: enqueueWaitReplicas });
  const [over] = wanted.filter(([, count]) => count > following);
  if (over)
    return fail(
      name,
      `${following} follow, and ${over[0]} is ${over[1]}: what waits for them fails with NOT_REPLICATED`,
      `Set ${over[0]} to ${following} at the most, or add replicas.`,
    );
  return ok(name, `${following} follow${wanted.map(([variable, count]) => (count > 0 ? `, ${variable} ${count}` : '')).join('')}`);
}

/** `saves` and `fsync` are the settings `save` and `appendfsync`, null if Redis does not tell. */
export function checkPersistence(info: Info, saves: string | null, fsync: string | null = null): Check {
  const name = 'persistence';
  if (info.get('aof_enabled') === '1') {
    if (info.get('aof_last_write_status') !== 'err') return ok(name, `append-only file${fsync === null ? '' : `, appendfsync ${fsync}`}`);
    return fail(name, 'the last write to the append-only file failed', "Look at Redis's log and at the free space on its disk.");
  }
  const advice = 'Set appendonly yes, so that a restart of Redis loses a second of work at the most.';
  if (saves === '') return warn(name, 'none: a restart of Redis loses all tasks', advice);
  if (info.get('rdb_last_bgsave_status') === 'err')
    return fail(name, 'the last snapshot failed', "Look at Redis's log and at the free space on its disk.");
  return warn(name, 'snapshots only: a crash of Redis loses what came after the last one', advice);
}

async function checkLatency(redis: RedisConnection): Promise<Check> {
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
  const time = await redis.time().catch((error: unknown) => messageOf(error));
  if (typeof time === 'string') return warn('clock', `Redis does not tell: ${time}`, 'See the permissions below.');
  const [seconds = 0, micros = 0] = time.map(Number);
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

function formatBytes(bytes: number): string {
  return `${Math.round(bytes / 1e5) / 10} MB`;
}
