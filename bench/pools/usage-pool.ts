import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { isFleetError, usagePoolClean } from 'taskfleet';
import { createProducer } from 'taskfleet/producer';
import { createWorker } from 'taskfleet/worker';

const PREFIX = 'pool';
const POOL = `${PREFIX}:usage_pool`;
const WRITE_AT_ONCE = 200;
/** The threshold puts every command into the slow log. */
const SLOWER_THAN_US = 0;

/** The times of the pool's scripts in Redis, in ms of wall-clock time: a busy machine slows some down. */
interface ScriptTimes {
  readonly p99Ms: number;
  readonly slowestMs: number;
}

/** One phase of a measurement. */
export interface Phase extends ScriptTimes {
  readonly name: string;
  /** The counts of the phase. */
  readonly did: string;
  readonly tookMs: number;
}

/** Cleans a large pool, first half expired, then not expired. */
export async function cleanLargePool(
  redisUrl: string,
  redis: Redis,
  { models, sessions }: { models: number; sessions: number },
): Promise<Phase[]> {
  const now = Number((await redis.time())[0]);
  for (let from = 0; from < models; from += WRITE_AT_ONCE) {
    const entries = Array.from({ length: WRITE_AT_ONCE }, (_, index) => [`model-${from + index}`, entryOf(sessions, now)]);
    await redis.hset(POOL, Object.fromEntries(entries) as Record<string, string>);
  }
  return withFleet(redisUrl, redis, async (clean, scripts) => {
    const phases: Phase[] = [];
    for (const name of ['half of all sessions expired', 'nothing expired']) {
      await scripts();
      const { tookMs, did } = await clean();
      phases.push({ name, did, tookMs, ...(await scripts()) });
    }
    return phases;
  });
}

/** Returns the number of touched sessions lost in a race with the cleaner, which should be 0. */
export async function raceTouches(redisUrl: string, redis: Redis, touches: number): Promise<{ phase: Phase; lost: number }> {
  const producer = createProducer({ redisUrl, keyPrefix: PREFIX });
  const stale = redis.duplicate();
  const [models, atOnce] = [50, 100];
  try {
    return await withFleet(redisUrl, redis, async (clean, scripts) => {
      await scripts();
      const touched = new AbortController();
      let runs = 0;
      const cleaning = (async () => {
        for (; !touched.signal.aborted; runs += 1) await clean();
      })();
      const startedAt = performance.now();
      for (let from = 0; from < touches; from += atOnce) {
        // Expired sessions, so that the cleaner edits the same entries.
        const expired = Array.from({ length: 5 }, (_, index) =>
          stale.eval(ADD_STALE, 1, POOL, `model-${(from + index) % models}`, `stale-${from}-${index}`),
        );
        await Promise.all([
          ...expired,
          ...Array.from({ length: atOnce }, (_, index) => producer.usage.touch(...touchOf(from + index, models))),
        ]);
      }
      const tookMs = performance.now() - startedAt;
      touched.abort();
      await cleaning;
      const times = await scripts();
      const pool = await redis.hgetall(POOL);
      const left = new Set(
        Object.entries(pool).flatMap(([model, text]) => Object.keys(JSON.parse(text) as object).map((session) => `${model} ${session}`)),
      );
      const lost = new Set(Array.from({ length: touches }, (_, n) => touchOf(n, models).join(' ')).filter((one) => !left.has(one))).size;
      return {
        phase: {
          name: 'touches in a race with the cleaner',
          did: `${Math.round((touches / tookMs) * 1_000)} touches a second beside ${runs} clean-ups`,
          tookMs,
          ...times,
        },
        lost,
      };
    });
  } finally {
    stale.disconnect();
    await producer.close();
  }
}

const ADD_STALE = `
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text then redis.call('HSET', KEYS[1], ARGV[1], '{"' .. ARGV[2] .. '": {"updated_at": 1}, ' .. string.sub(text, 2)) end`;

/** Returns the time in Redis, in µs, to touch an existing and a new session of a model with many sessions. */
export async function weighTouch(redisUrl: string, redis: Redis, sessions: number): Promise<{ refreshed: number; added: number }> {
  const producer = createProducer({ redisUrl, keyPrefix: PREFIX });
  const now = Number((await redis.time())[0]);
  const text = entryOf(sessions, now);
  const names = Object.keys(JSON.parse(text) as object);
  const measure = async (session: (n: number) => string): Promise<number> => {
    await producer.usage.touch('weighed', 'first');
    await redis.hset(POOL, 'weighed', text);
    await redis.config('RESETSTAT');
    const calls = 20;
    for (let n = 0; n < calls; n += 1) await producer.usage.touch('weighed', session(n));
    return Number(/cmdstat_evalsha:calls=\d+,usec=(\d+)/.exec(await redis.info('commandstats'))?.[1]) / calls;
  };
  const refreshed = await measure((n) => names[n * 2] as string);
  const added = await measure((n) => `another-${n}`);
  await producer.close();
  return { refreshed, added };
}

function touchOf(n: number, models: number): [model: string, session: string] {
  return [`model-${n % models}`, `session-${n % 10_000}`];
}

/** Writes an entry in open-webui's format; every other session has expired. */
function entryOf(sessions: number, now: number): string {
  const members = Array.from(
    { length: sessions },
    (_, index) => `"${randomUUID()}": {"updated_at": ${index % 2 ? now - 7_200 : now - (index % 4)}}`,
  );
  return `{${members.join(', ')}}`;
}

/** Returns whether a command runs a script of the pool, unlike BullMQ's scripts. */
function isOurs([command = '', , , key]: readonly string[]): boolean {
  return command.toLowerCase().startsWith('eval') && key === POOL;
}

interface Cleaned {
  readonly tookMs: number;
  readonly did: string;
}

/** A worker that cleans up on demand, and the times of the scripts since the last request. */
async function withFleet<Result>(
  redisUrl: string,
  redis: Redis,
  use: (clean: () => Promise<Cleaned>, scripts: () => Promise<ScriptTimes>) => Promise<Result>,
): Promise<Result> {
  const never = 3_600_000;
  const settings = { redisUrl, keyPrefix: PREFIX, logLevel: 'error' } as const;
  const worker = await createWorker({ ...settings, usageTimeoutMs: 3_600_000, usageCleanMs: never, sessionCleanMs: never });
  const producer = createProducer(settings);
  await redis.config('SET', 'slowlog-log-slower-than', String(SLOWER_THAN_US), 'slowlog-max-len', '100000');
  const clean = async (): Promise<Cleaned> => {
    const task = await producer.enqueue(usagePoolClean, {});
    try {
      const { batches, sessions, took_ms: tookMs } = await producer.result(task);
      return { tookMs, did: `${batches} batches, ${sessions} sessions gone` };
    } catch (error) {
      // The ended task is not retained: a short run may be over before the wait.
      if (isFleetError(error, 'TASK_NOT_FOUND')) return { tookMs: 0, did: '' };
      throw error;
    }
  };
  const scripts = async (): Promise<ScriptTimes> => {
    const log = (await redis.slowlog('GET', -1)) as [id: number, at: number, us: number, words: string[]][];
    await redis.slowlog('RESET');
    const ms = log.flatMap(([, , us, words]) => (isOurs(words) ? [us / 1_000] : [])).toSorted((a, b) => a - b);
    return { p99Ms: ms[Math.floor(ms.length * 0.99)] ?? 0, slowestMs: ms.at(-1) ?? 0 };
  };
  try {
    await worker.start();
    await worker.ready();
    return await use(clean, scripts);
  } finally {
    await redis.config('SET', 'slowlog-log-slower-than', '10000', 'slowlog-max-len', '128');
    await worker.stop();
    await producer.close();
  }
}
