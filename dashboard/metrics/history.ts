import { narrowBucketMs } from '../../shared/metrics/buckets.js';
import { parseField } from '../../shared/metrics/fields.js';
import type { Store } from '../../shared/store.js';

/** What ended within one minute, in the whole fleet; without what the fleet does for itself. As JSON has it. */
export interface HistoryMinute {
  /** Its beginning, ISO 8601. */
  readonly at: string;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** From the record of a stop to the end of its task, to within six percent; null for a minute without stops. */
  readonly stop_p50_ms: number | null;
  readonly stop_p99_ms: number | null;
}

const MINUTE_MS = 60_000;
/** Minutes are kept for so long. */
const MOST_MINUTES = 120;

/** The last minutes, oldest first; the last of them is under way. At most two hours, in one round trip. */
export async function readHistory({ redis, keys, clock }: Store, minutes: number): Promise<HistoryMinute[]> {
  const now = Math.floor(clock.now() / MINUTE_MS);
  const length = Math.max(1, Math.min(MOST_MINUTES, Math.floor(minutes) || 1));
  const numbers = Array.from({ length }, (_, index) => now - length + 1 + index);
  const counts = await Promise.all(numbers.map((minute) => redis.hgetall(keys.minute(String(minute)))));
  return numbers.map((minute, index) => minuteOf(minute, counts[index] ?? {}));
}

function minuteOf(minute: number, counts: Readonly<Record<string, string>>): HistoryMinute {
  const count = (field: string): number => Number(counts[field] ?? 0);
  const stops = Object.keys(counts)
    .flatMap((field) => {
      const parsed = parseField(field);
      return parsed?.counted === 'stop' ? [{ ms: narrowBucketMs(Number(parsed.labels[0])), count: count(field) }] : [];
    })
    .toSorted((a, b) => a.ms - b.ms);
  return {
    at: new Date(minute * MINUTE_MS).toISOString(),
    ...{ completed: count('completed'), failed: count('failed'), cancelled: count('cancelled') },
    ...{ stop_p50_ms: percentile(stops, 50), stop_p99_ms: percentile(stops, 99) },
  };
}

/** By nearest rank, in ms with one decimal. */
function percentile(sorted: readonly { readonly ms: number; readonly count: number }[], percent: number): number | null {
  let left = Math.ceil((percent * sorted.reduce((sum, { count }) => sum + count, 0)) / 100);
  for (const { ms, count } of sorted) {
    left -= count;
    if (left <= 0) return Math.round(ms * 10) / 10;
  }
  return null;
}
