import type { RedisConnection } from '../redis/connection.js';

/**
 * Moves the time of a fleet ahead of Redis' clock, for tests: the clock of each process, and every script that reads the time. Keys
 * that Redis itself expires, such as locks, keep to Redis' clock. For a single server: the scripts read a key that they do not declare.
 */
export class TimeShift {
  #ms = 0;

  /** @param key holds the shift, in ms, for the scripts */
  constructor(readonly key: string) {}

  /** How far the fleet's time is ahead. */
  get ms(): number {
    return this.#ms;
  }

  /** Resolves when the scripts know the new shift. */
  async set(ms: number, redis: Pick<RedisConnection, 'set'>): Promise<void> {
    await redis.set(this.key, String(ms));
    this.#ms = ms;
  }
}

const READS_TIME = /redis\.p?call\('TIME'\)/g;

/** Shifts the time of all scripts that are defined on a connection from now on. */
export function shiftScripts(redis: RedisConnection, { key }: TimeShift): void {
  const define = redis.defineCommand.bind(redis);
  redis.defineCommand = (name, definition) => define(name, { ...definition, lua: shifted(definition.lua, key) });
}

function shifted(lua: string, key: string): string {
  const text = lua.replaceAll(READS_TIME, 'shifted_time()');
  return text === lua ? lua : `${shiftedTime(key)}\n${text}`;
}

/** Microseconds since the epoch are exact in Lua's numbers until 2255. */
const shiftedTime = (key: string): string => `local function shifted_time()
  local time = redis.pcall('TIME')
  if not time[1] then return time end
  local micros = time[1] * 1000000 + time[2] + 1000 * (redis.call('GET', ${JSON.stringify(key)}) or 0)
  return { string.format('%.0f', math.floor(micros / 1000000)), string.format('%.0f', micros % 1000000) }
end`;
