import { narrowBucketMs, parseField } from '../../shared/metrics/fields.js';
import { HashReader } from '../../shared/records/hash-reader.js';
import type { Store } from '../../shared/store.js';

/** Finished tasks of one minute in the whole fleet, without maintenance tasks; in the API's JSON format. */
interface HistoryMinute {
  /** Start of the minute, ISO 8601. */
  readonly at: string;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Scheduled tasks that did not run because of an overlap. */
  readonly skipped: number;
  /** Stop latency, accurate to six percent; null for a minute without stops. */
  readonly stop_p50_ms: number | null;
  readonly stop_p99_ms: number | null;
}

const MINUTE_MS = 60_000;
/** Retention of the minute counters. */
const MAX_MINUTES = 120;

/** The bucket for some weeks; larger values are invalid. */
const MAX_BUCKET = 400;

/** Reads the last minutes, oldest first, at most two hours, in one round trip. The last minute is incomplete. */
export async function readHistory({ redis, keys, clock, unreadable }: Store, minutes: number): Promise<HistoryMinute[]> {
  const now = Math.floor(clock.now() / MINUTE_MS);
  const length = Math.max(1, Math.min(MAX_MINUTES, Math.floor(minutes) || 1));
  const numbers = Array.from({ length }, (_, index) => now - length + 1 + index);
  return Promise.all(
    numbers.map(async (minute) => {
      const key = keys.minute(String(minute));
      const counts = await unreadable.read(key, 'hash', redis.hgetall(key), {});
      const fields = new HashReader(counts);
      const read = minuteOf(minute, Object.keys(counts), (field) => fields.whole(field) ?? 0);
      if (fields.problem !== null) unreadable.report({ key, problem: fields.problem });
      return read;
    }),
  );
}

function minuteOf(minute: number, fields: readonly string[], count: (field: string) => number): HistoryMinute {
  const stops = fields
    .flatMap((field) => {
      const parsed = parseField(field);
      const bucket = Number(parsed?.labels[0]);
      return parsed?.counted === 'stop' && bucket >= 0 && bucket <= MAX_BUCKET ? [{ ms: narrowBucketMs(bucket), count: count(field) }] : [];
    })
    .toSorted((a, b) => a.ms - b.ms);
  return {
    at: new Date(minute * MINUTE_MS).toISOString(),
    ...{ completed: count('completed'), failed: count('failed'), cancelled: count('cancelled'), skipped: count('skipped') },
    ...{ stop_p50_ms: percentile(stops, 50), stop_p99_ms: percentile(stops, 99) },
  };
}

/** Returns the nearest-rank percentile, in ms with one decimal. */
function percentile(sorted: readonly { readonly ms: number; readonly count: number }[], percent: number): number | null {
  let left = Math.ceil((percent * sorted.reduce((sum, { count }) => sum + count, 0)) / 100);
  for (const { ms, count } of sorted) {
    left -= count;
    if (left <= 0) return Math.round(ms * 10) / 10;
  }
  return null;
}
