import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import { MINUTE_MS } from '../metrics/counters.js';
import { parseField } from '../metrics/fields.js';
import { HashReader } from '../records/hash-reader.js';
import type { RecordReporter } from '../records/unreadable.js';
import type { RedisConnection } from '../redis/connection.js';

/** Tasks of a queue within the last minute. */
export interface QueueRate {
  readonly enqueued: number;
  readonly ended: number;
}

interface CounterSource {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
  readonly clock: Pick<FleetClock, 'now'>;
}

/** Fields read by one step of a scan. */
const SCANNED_AT_ONCE = 5_000;
/** Steps of a scan: more fields than that come from programs that make names up. */
const MOST_STEPS = 10;

/**
 * Returns the rates of queues by name: the current minute, and of the last one the part that is within 60 s. Processes add their counts
 * once a second.
 */
export async function readRates(source: CounterSource): Promise<Map<string, QueueRate>> {
  const now = source.clock.now();
  const minute = Math.floor(now / MINUTE_MS);
  const [current, last] = await Promise.all([readMinute(source, minute), readMinute(source, minute - 1)]);
  const left = 1 - (now % MINUTE_MS) / MINUTE_MS;
  const rateOf = (counted: 'in' | 'out', queue: string): number =>
    Math.round((current.get(`${counted}|${queue}`) ?? 0) + left * (last.get(`${counted}|${queue}`) ?? 0));
  const queues = new Set([...current.keys(), ...last.keys()].map((field) => field.slice(field.indexOf('|') + 1)));
  return new Map([...queues].map((queue) => [queue, { enqueued: rateOf('in', queue), ended: rateOf('out', queue) }]));
}

/** Reads the counts of the queues in a minute by field. */
async function readMinute({ redis, keys, unreadable }: CounterSource, minute: number): Promise<Map<string, number>> {
  const key = keys.minute(String(minute));
  const counts = await unreadable.read(key, 'hash', redis.hgetall(key), {});
  const fields = new HashReader(counts);
  const read = Object.keys(counts).flatMap((field): [string, number][] =>
    /^(in|out)\|/.test(field) ? [[field, fields.whole(field) ?? 0]] : [],
  );
  if (fields.problem !== null) unreadable.report({ key, problem: fields.problem });
  return new Map(read);
}

/** Returns the names of the tasks that each queue has had, by queue. */
export async function readQueueNamesOfTasks({ redis, keys, unreadable }: CounterSource): Promise<Map<string, Set<string>>> {
  const names = new Map<string, Set<string>>();
  let cursor = '0';
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const scanning = redis.hscan(keys.counters, cursor, 'MATCH', 'enqueued|*', 'COUNT', SCANNED_AT_ONCE);
    const [next, flat] = await unreadable.read(keys.counters, 'hash', scanning, ['0', []]);
    for (let index = 0; index < flat.length; index += 2) {
      const [queue = '', name = ''] = parseField(flat[index] as string)?.labels ?? [];
      names.set(queue, (names.get(queue) ?? new Set()).add(name));
    }
    cursor = next;
    if (cursor === '0') break;
  }
  return names;
}
