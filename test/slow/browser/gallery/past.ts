import type { Redis } from 'ioredis';
import type { Keys } from '../../../../shared/keys.js';
import { SERIES, SERIES_STEPS, fieldOf, narrowBucketOf, seriesBucketOf } from '../../../../shared/metrics/fields.js';

/** How a task name did in the past: tasks per minute, one in how many fails, and its typical run time and wait in ms. */
interface Habit {
  readonly name: string;
  readonly queue: string;
  readonly perMinute: number;
  readonly failsOneIn: number;
  readonly runMs: number;
  readonly waitMs: number;
}

const HABITS: readonly Habit[] = [
  { name: 'chat.reply', queue: 'chat', perMinute: 42, failsOneIn: 60, runMs: 1_800, waitMs: 40 },
  { name: 'document.embed', queue: 'documents', perMinute: 14, failsOneIn: 30, runMs: 9_000, waitMs: 400 },
  { name: 'report.render', queue: 'reports', perMinute: 3, failsOneIn: 12, runMs: 42_000, waitMs: 6_000 },
  { name: 'invoice.send', queue: 'invoices', perMinute: 6, failsOneIn: 5, runMs: 700, waitMs: 90 },
];
const MINUTE_MS = 60_000;

/** Writes the counters of the last day and week, as workers would have, with a wave over the day and an hour of many failures. */
export async function writePast(redis: Redis, keys: Keys, now: number): Promise<void> {
  const writes = redis.pipeline();
  for (const step of SERIES_STEPS) {
    const { ms, keptS } = SERIES[step];
    const last = Math.floor(now / ms);
    for (let slot = last - Math.floor((keptS * 1_000) / ms) + 2; slot < last; slot += 1)
      for (const habit of HABITS)
        for (const [field, count] of countsOf(habit, slot * ms, ms / MINUTE_MS))
          writes.hincrby(keys.series(step, String(slot)), field, count);
  }
  for (let minute = Math.floor(now / MINUTE_MS) - 118; minute < Math.floor(now / MINUTE_MS); minute += 1) {
    const key = keys.minute(String(minute));
    for (const habit of HABITS) {
      const { done, failed } = numbersOf(habit, minute * MINUTE_MS, 1);
      writes.hincrby(key, 'completed', done).hincrby(key, 'failed', failed);
      writes.hincrby(key, `in|${habit.queue}`, done + failed).hincrby(key, `out|${habit.queue}`, done + failed);
    }
    writes.hincrby(key, `stop|${narrowBucketOf(4 + (minute % 7) * 6)}`, 1).hincrby(key, 'cancelled', 1);
  }
  await writes.exec();
}

function numbersOf({ perMinute, failsOneIn }: Habit, at: number, minutes: number): { readonly done: number; readonly failed: number } {
  const wave = 1 + 0.4 * Math.sin((2 * Math.PI * at) / 86_400_000) + 0.25 * Math.sin(at / 97_000);
  const all = Math.max(0, Math.round(perMinute * minutes * wave));
  const failed = Math.floor(all / failsOneIn);
  return { done: all - failed, failed };
}

function countsOf(habit: Habit, at: number, minutes: number): (readonly [field: string, count: number])[] {
  const { done, failed } = numbersOf(habit, at, minutes);
  const { name, runMs, waitMs } = habit;
  const slow = 1 + 0.3 * Math.sin(at / 211_000);
  const spread = (ms: number): (readonly [bucket: number, share: number])[] => [
    [seriesBucketOf(ms * 0.7 * slow), 0.3],
    [seriesBucketOf(ms * slow), 0.4],
    [seriesBucketOf(ms * 1.6 * slow), 0.22],
    [seriesBucketOf(ms * 4 * slow), 0.08],
  ];
  const durations = [
    ...spread(runMs).map(([bucket, share]) => [fieldOf('run', name, bucket), Math.round((done + failed) * share)] as const),
    ...spread(waitMs).map(([bucket, share]) => [fieldOf('wait', name, bucket), Math.round((done + failed) * share)] as const),
  ];
  return [
    [fieldOf('finished', name, 'completed'), done] as const,
    [fieldOf('finished', name, 'failed'), failed] as const,
    ...durations,
  ].filter(([, count]) => count > 0);
}
