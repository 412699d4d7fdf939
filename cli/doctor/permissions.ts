import type { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import { type RedisConnection, isCluster } from '../../shared/redis/connection.js';
import { type Check, fail, ok } from './check.js';
import type { Server } from './topology-report.js';

const NAME = 'permissions';
const ANSWER_MS = 5_000;
/** Phrases of Redis 6.2 to 8 that tell a denied key or channel from a denied command. */
const OF_KEY = /one of the keys|access a key|access the '.*' key/i;
const OF_CHANNEL = /channel/i;

/** Returns every command that the fleet, BullMQ and their scripts send, with a key of the fleet as argument. */
function needed(key: string, channel: string): (readonly string[])[] {
  const onKey = (names: string, ...words: string[]): string[][] => names.split(' ').map((name) => [name, key, ...words]);
  return [
    ...onKey('get exists type incr hgetall hlen hkeys hvals llen scard smembers zcard rpop lpop xlen pttl persist ttl del unlink'),
    ...onKey('set', 'v'),
    ...onKey('expire pexpire pexpireat', '1'),
    ...onKey('hget hdel hexists hmget', 'f'),
    ...onKey('hset hsetnx hmset', 'f', 'v'),
    ...onKey('hincrby', 'f', '1'),
    ...onKey('incrby', '1'),
    ...onKey('rename', key),
    ...onKey('lset', '0', 'v'),
    ...onKey('xdel', '0-1'),
    ...onKey('lpush rpush lpos sadd srem sismember zrem zscore zmscore zrank', 'v'),
    ...onKey('lrange ltrim zrange zrevrange zremrangebyrank zrangebyscore zrevrangebyscore zremrangebyscore zcount', '0', '1'),
    ...onKey('zrangebylex', '-', '+'),
    ...onKey('lindex spop', '0'),
    ...onKey('lrem', '0', 'v'),
    ...onKey('linsert', 'BEFORE', 'p', 'v'),
    ...onKey('rpoplpush', key),
    ...onKey('sscan hscan zscan', '0'),
    ...onKey('zadd zincrby', '1', 'm'),
    ...onKey('zpopmin'),
    ...onKey('bzpopmin', '0'),
    ...onKey('xadd', '*', 'f', 'v'),
    ...onKey('xrange', '-', '+'),
    ...onKey('xrevrange', '+', '-'),
    ...onKey('xtrim', 'MAXLEN', '1'),
    ['xread', 'COUNT', '1', 'STREAMS', key, '0'],
    ['eval', 'return 1', '1', key],
    ['evalsha', '0'.repeat(40), '1', key],
    ['script', 'load', 'return 1'],
    ['publish', channel, ''],
    ...[
      ['ping'],
      ['time'],
      ['info'],
      ['wait', '0', '1'],
      ['client', 'id'],
      ['client', 'setname', 'taskfleet:doctor'],
      ['client', 'unblock', '0'],
    ],
  ];
}

/** Commands that a cluster client sends on its own. */
const OF_A_CLUSTER = [['readonly'], ['asking'], ['cluster', 'slots'], ['cluster', 'info']] as const;

/**
 * Checks the permissions of REDIS_URL's user. Sends each command in a transaction that is then discarded: Redis checks
 * permissions when it queues a command, and runs none. Tests SUBSCRIBE on its own, outside the transaction. A user who may not
 * send MULTI learns only that.
 * @param servers all writable servers, because each has its own users
 */
export async function checkPermissions(redis: RedisConnection, servers: readonly Server[], keys: Keys): Promise<Check> {
  const lacks = await Promise.all(servers.map((server) => lacking(server.redis, keys, isCluster(redis))));
  const commands = [...new Set(lacks.flatMap((lack) => lack.commands))];
  const [ofKeys, ofChannels] = [lacks.some((lack) => lack.keys), lacks.some((lack) => lack.channels)];
  const user = await whoAmI(servers[0]?.redis as Redis, redis);
  if (commands.length === 0 && !ofKeys && !ofChannels) return ok(NAME, `user ${user} has all needed permissions`);
  const { prefix } = keys;
  const missing = [
    ...(commands.length > 0 ? [`send ${commands.map((command) => command.replace('|', ' ')).join(', ')}`] : []),
    ...(ofKeys ? [`access the keys ${keyPatterns(keys).join(' and ')}`] : []),
    ...(ofChannels ? [`use the channels ${prefix}:* (workers then see stops only when they poll)`] : []),
  ];
  const rules = [
    ...commands.map((command) => `+${command}`),
    ...(ofChannels ? [`&${prefix}:*`] : []),
    ...(ofKeys ? keyPatterns(keys).map((pattern) => `~${pattern}`) : []),
  ];
  const where = servers.length > 1 ? ', on every node' : '';
  const again = commands.includes('multi') ? ', then run the doctor again' : '';
  const advice = `Run as an administrator${where}: ACL SETUSER ${user} ${rules.join(' ')}${again}`;
  return fail(NAME, `user ${user} may not ${missing.join('; nor ')}`, advice);
}

/** On a cluster each queue has its own slot, and its keys start with the hash tag in braces. */
function keyPatterns(keys: Keys): string[] {
  const bull = keys.bull('*');
  return bull.startsWith(`${keys.prefix}:`) ? [`${keys.prefix}:*`] : [`${keys.prefix}:*`, `${bull.slice(0, bull.indexOf('*'))}*`];
}

interface Lacking {
  readonly commands: readonly string[];
  readonly keys: boolean;
  readonly channels: boolean;
}

async function lacking(redis: Redis, keys: Keys, cluster: boolean): Promise<Lacking> {
  // A replica's READONLY is an answer here, so it must not trigger a reconnect.
  const own = redis.duplicate({ lazyConnect: false, enableOfflineQueue: true, reconnectOnError: null, commandTimeout: ANSWER_MS });
  own.on('error', () => undefined);
  try {
    const begun = await refusalOf(own, ['multi']);
    const bull = `${keys.jobs('doctor')}probe`;
    const wanted = [...needed(`${keys.prefix}:doctor`, keys.commands), ['get', bull], ['set', bull, 'v'], ...(cluster ? OF_A_CLUSTER : [])];
    const answers = await Promise.all(
      wanted.map(async (words) => ({ words, refusal: begun === null ? await refusalOf(own, words) : null })),
    );
    await refusalOf(own, ['discard']);
    // Sent last, because this connection stays subscribed.
    const subscribe = ['subscribe', keys.commands];
    answers.push({ words: subscribe, refusal: await refusalOf(own, subscribe) });
    const refused = answers.filter(({ refusal }) => refusal !== null).map(({ words, refusal }) => ({ words, refusal: refusal as string }));
    const ofKeys = refused.filter(({ refusal }) => OF_KEY.test(refusal));
    const ofChannels = refused.filter(({ refusal }) => OF_CHANNEL.test(refusal));
    const others = refused.filter((answer) => !ofKeys.includes(answer) && !ofChannels.includes(answer)).map(({ words }) => nameOf(words));
    return {
      commands: [...(begun === null ? [] : ['multi', 'exec', 'discard']), ...others],
      keys: ofKeys.length > 0,
      channels: ofChannels.length > 0,
    };
  } finally {
    own.disconnect();
  }
}

/** Returns a command's name in ACL rules. */
function nameOf([name = '', sub = '']: readonly string[]): string {
  return name === 'client' || name === 'script' || name === 'cluster' ? `${name}|${sub}` : name;
}

/** Returns the NOPERM error, or null. Redis checks permissions first, so other errors mean that the command is permitted. */
async function refusalOf(redis: Redis, [name = '', ...words]: readonly string[]): Promise<string | null> {
  try {
    await redis.call(name, ...words);
    return null;
  } catch (error) {
    const text = messageOf(error);
    return text.startsWith('NOPERM') ? text : null;
  }
}

async function whoAmI(server: Redis, { options }: RedisConnection): Promise<string> {
  try {
    return String(await server.call('ACL', 'WHOAMI'));
  } catch {
    const { username } = options as { username?: string | null };
    return username ?? server.options.username ?? 'default';
  }
}
