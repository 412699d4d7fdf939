import type { Redis } from 'ioredis';

/** What the handlers found out about each other through Redis. */
export interface AuditReport {
  readonly violations: readonly string[];
  /** Runs that began beside a run of a dead worker, which may be only frozen. */
  readonly overlaps: number;
  readonly runs: number;
  /** Runs that have not ended, those of dead workers aside. */
  readonly open: number;
}

const HEADER = `
local START, PLACES = ARGV[1], ARGV[2]
local function fields(name) return START .. name end
local function limitOf(key, defined) return tonumber(redis.call('HGET', fields('set'), key) or defined) end
`;
/** Each key of a run: its live runs, itself included, are at most as many as its limit, or as one that was just lowered. */
const ENTER = `${HEADER}
local run, worker = ARGV[3], ARGV[4]
redis.call('INCR', fields('runs'))
local overlaps = 0
for i = 5, #ARGV, 2 do
  local key, limit = ARGV[i], limitOf(ARGV[i], ARGV[i + 1])
  local most = math.max(limit, tonumber(redis.call('HGET', fields('ceilings'), key) or '0'))
  local live, running = 1, redis.call('HGETALL', fields('key:' .. key))
  for j = 1, #running, 2 do
    if redis.call('SISMEMBER', fields('dead'), running[j + 1]) == 1 then overlaps = 1 else live = live + 1 end
  end
  redis.call('HSET', fields('key:' .. key), run, worker)
  if live > most and redis.call('SISMEMBER', fields('dead'), worker) == 0 then
    local names = table.concat(redis.call('HKEYS', fields('key:' .. key)), ' ')
    redis.call('RPUSH', fields('violations'), live .. ' run on ' .. key .. ', whose limit is ' .. most .. ': ' .. names)
  end
end
redis.call('INCRBY', fields('overlaps'), overlaps)`;
const LEAVE = `${HEADER}
for i = 5, #ARGV, 2 do
  local key = ARGV[i]
  redis.call('HDEL', fields('key:' .. key), ARGV[3])
  -- A lowered limit holds once the places taken before are free.
  if redis.call('HEXISTS', fields('changing'), key) == 0 and redis.call('ZCARD', PLACES .. key) <= limitOf(key, ARGV[i + 1]) then
    redis.call('HDEL', fields('ceilings'), key)
  end
end`;

/** Keys with their defined limits. */
export type AuditedKeys = readonly (readonly [key: string, limit: number])[];

/** The handlers' own books in Redis about which tasks run at once, independent of the limiter's. */
export class Audit {
  constructor(
    private readonly redis: Redis,
    private readonly start: string,
    /** The start of the limiter's keys of places. */
    private readonly places: string,
  ) {}

  async enter(run: string, worker: string, keys: AuditedKeys): Promise<void> {
    await this.redis.eval(ENTER, 0, this.start, this.places, run, worker, ...keys.flat());
  }

  async leave(run: string, worker: string, keys: AuditedKeys): Promise<void> {
    await this.redis.eval(LEAVE, 0, this.start, this.places, run, worker, ...keys.flat());
  }

  async died(worker: string): Promise<void> {
    await this.redis.sadd(`${this.start}dead`, worker);
  }

  /** Changes the limit of a key: the higher one counts until the places taken under it are free. */
  async changed([key, defined]: AuditedKeys[number], limit: number | null, change: () => Promise<void>): Promise<void> {
    const [set, ceiling] = await Promise.all([this.redis.hget(`${this.start}set`, key), this.redis.hget(`${this.start}ceilings`, key)]);
    await this.redis.hset(`${this.start}changing`, key, '1');
    await this.redis.hset(`${this.start}ceilings`, key, Math.max(Number(set ?? defined), Number(ceiling ?? 0), limit ?? defined));
    await change();
    await (limit === null ? this.redis.hdel(`${this.start}set`, key) : this.redis.hset(`${this.start}set`, key, limit));
    await this.redis.hdel(`${this.start}changing`, key);
  }

  /** Reports what was found since the last report, and forgets it. */
  async report(): Promise<AuditReport> {
    const keys = await this.redis.keys(`${this.start}*`);
    const [violations, overlaps, runs, dead] = await Promise.all([
      this.redis.lrange(`${this.start}violations`, '0', '-1'),
      this.redis.get(`${this.start}overlaps`),
      this.redis.get(`${this.start}runs`),
      this.redis.smembers(`${this.start}dead`),
    ]);
    const running = await Promise.all(keys.filter((key) => key.startsWith(`${this.start}key:`)).map((key) => this.redis.hvals(key)));
    if (keys.length > 0) await this.redis.del(...keys);
    return {
      violations,
      overlaps: Number(overlaps),
      runs: Number(runs),
      open: running.flat().filter((worker) => !dead.includes(worker)).length,
    };
  }
}
