import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import { formatMs } from '../../shared/time.js';
import { type Check, fail, ok, warn } from './check.js';
import { type Info, type Server, replicasOf } from './topology-report.js';

const OLDEST = { major: 6, minor: 2 };
const PINGS = 200;
const SLOW_PING_MS = 20;
const MAX_CLOCK_DIFFERENCE_MS = 1_000;
const FULL = 0.9;

/** Checks every writable server for the conditions that keep tasks safe and stops fast. */
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

/** Merges one check of several servers into the worst result, with the addresses that have it. */
function merge(found: readonly { readonly address: string; readonly check: Check }[]): Check {
  const level = (['fail', 'warn', 'ok'] as const).find((candidate) => found.some(({ check }) => check.level === candidate));
  const same = found.filter(({ check }) => check.level === level);
  const { check } = same[0] as (typeof found)[number];
  const messages = new Set(same.map((result) => result.check.message));
  if (found.length === 1 || (messages.size === 1 && same.length === found.length)) return check;
  return { ...check, message: same.map((result) => `${result.address}: ${result.check.message}`).join('; ') };
}

export function checkVersion(info: Info): Check {
  const version = info.get('redis_version') ?? 'unknown';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const product =
    info.get('server_name') === 'valkey' ? `Valkey ${info.get('valkey_version')}, compatible with Redis ${version}` : `Redis ${version}`;
  if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) return ok('version', product);
  return fail(
    'version',
    `${product} is too old`,
    `Upgrade to Redis ${OLDEST.major}.${OLDEST.minor} or newer: the scripts need its commands.`,
  );
}

function checkEviction(info: Info): Check {
  const policy = info.get('maxmemory_policy') ?? 'unknown';
  if (policy === 'noeviction') return ok('eviction', 'noeviction');
  return fail(
    'eviction',
    `maxmemory-policy is ${policy}: when memory runs out, Redis would evict tasks`,
    'Set maxmemory-policy noeviction in redis.conf, and until the next restart: redis-cli config set maxmemory-policy noeviction',
  );
}

/** Checks memory use against maxmemory, at which enqueues are refused, or else against the machine's memory. */
export function checkMemory(info: Info): Check {
  const name = 'memory';
  const [used, limit, system] = ['used_memory', 'maxmemory', 'total_system_memory'].map((field) => Number(info.get(field) ?? 0)) as [
    number,
    number,
    number,
  ];
  const message = `${formatBytes(used)} used, ${limit === 0 ? 'no maxmemory' : `maxmemory ${formatBytes(limit)}`}`;
  const advice = 'Raise maxmemory (redis.conf or config set) or shorten the retention of ended tasks: when memory is full, enqueues fail.';
  if (limit > 0) return used < limit * FULL ? ok(name, message) : warn(name, message, advice);
  return system === 0 || used < system * FULL
    ? ok(name, message)
    : warn(name, `${message}, of ${formatBytes(system)} on its machine`, advice);
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
      `${good} in sync, but min-replicas-to-write is ${minReplicas}: every write is refused (NOREPLICAS)`,
      `Restore the replicas, or until then: redis-cli config set min-replicas-to-write ${good}`,
    );
  const following = replicasOf(info).filter(({ link }) => link === 'online').length;
  const wanted = Object.entries({ STOP_WAIT_REPLICAS: stopWaitReplicas, ENQUEUE_WAIT_REPLICAS: enqueueWaitReplicas });
  const [over] = wanted.filter(([, count]) => count > following);
  if (over)
    return fail(
      name,
      `${following} connected, but ${over[0]} is ${over[1]}: calls that wait for replicas fail with NOT_REPLICATED`,
      `Lower ${over[0]} to ${following}, or add replicas.`,
    );
  return ok(name, `${following} connected${wanted.map(([variable, count]) => (count > 0 ? `, ${variable} ${count}` : '')).join('')}`);
}

/** @param saves the setting `save`, null if unknown @param fsync the setting `appendfsync`, null if unknown */
export function checkPersistence(info: Info, saves: string | null, fsync: string | null = null): Check {
  const name = 'persistence';
  if (info.get('aof_enabled') === '1') {
    if (info.get('aof_last_write_status') !== 'err') return ok(name, `append-only file${fsync === null ? '' : `, appendfsync ${fsync}`}`);
    return fail(name, 'the last write to the append-only file failed', "Check Redis's log and the free space on its disk.");
  }
  const advice = 'Set appendonly yes, so that a restart of Redis loses at most one second of work.';
  if (saves === '') return warn(name, 'none: a restart of Redis loses all tasks', advice);
  if (info.get('rdb_last_bgsave_status') === 'err')
    return fail(name, 'the last snapshot failed', "Check Redis's log and the free space on its disk.");
  return warn(name, 'snapshots only: a crash of Redis loses all writes since the last one', advice);
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
  return warn('latency', message, 'Run the fleet closer to its Redis: every task takes several round trips.');
}

async function checkClock(redis: Redis): Promise<Check> {
  const before = Date.now();
  const time = await redis.time().catch((error: unknown) => messageOf(error));
  if (typeof time === 'string') return warn('clock', `unknown: ${time}`, 'See the permissions below.');
  const [seconds = 0, micros = 0] = time.map(Number);
  const difference = seconds * 1_000 + micros / 1_000 - (before + Date.now()) / 2;
  const message = `${formatMs(Math.abs(difference))} ${difference < 0 ? 'ahead of' : 'behind'} the clock of Redis`;
  if (Math.abs(difference) <= MAX_CLOCK_DIFFERENCE_MS) return ok('clock', message);
  return warn('clock', message, 'Synchronise the clocks (NTP): ages, delays and latencies are off by this difference.');
}

/** Returns a setting of Redis, or null where CONFIG is not allowed, as with many providers. */
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

const NAME = 'write';
const GONE_AFTER_MS = 1_000;

/** Advice by the error of a write. */
const ADVICE: readonly (readonly [error: RegExp, advice: string])[] = [
  [/^NOREPLICAS/, 'Restore the replicas, or lower min-replicas-to-write, both in redis.conf and with redis-cli config set.'],
  [/^READONLY/, 'This is a replica: set REDIS_URL to its master.'],
  [/^OOM/, 'Raise maxmemory, both in redis.conf and with redis-cli config set.'],
  [/^MISCONF/, "Check Redis's log and the free space on its disk: a snapshot failed, and stop-writes-on-bgsave-error is yes."],
  [/^NOPERM/, 'See the permissions above.'],
  [/^CLUSTERDOWN/, 'See the topology above.'],
];

/** Writes a key that expires after a second. */
export async function checkWrite(redis: RedisConnection, keys: Keys): Promise<Check> {
  try {
    await redis.set(`${keys.prefix}:doctor:${randomUUID()}`, 1, 'PX', GONE_AFTER_MS);
    return ok(NAME, 'accepted');
  } catch (error) {
    const text = messageOf(error);
    return fail(NAME, `refused: ${text}`, ADVICE.find(([pattern]) => pattern.test(text))?.[1] ?? "Check Redis's log.");
  }
}

/** The check that replaces the fleet checks if the fleet's keys cannot be read. */
export function notReadable(error: unknown): Check {
  return fail('fleet', `its keys cannot be read: ${messageOf(error)}`, 'Fix the failures above first.');
}
