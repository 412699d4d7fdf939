import type { Worker } from '../api-types.js';
import { isSilent } from '../attention.js';
import { count, duration, latency } from '../wording.js';

export interface Health {
  readonly level: 'good' | 'fair' | 'bad' | 'soft';
  readonly text: string;
}

/** A clock further from Redis' than this is wrong, in ms. */
const WRONG_CLOCK_MS = 5_000;
/** A longer delay of the event loop slows stops and heartbeats, in ms. */
const LONG_DELAY_MS = 200;
/** A heap this full, as part of its limit, may soon end the process. */
const FULL_HEAP = 0.9;

/** Returns the state of a live worker in a word. */
export function healthOf(worker: Worker, now: number): Health {
  const { problem, drained, draining, fetching, running, beat_at: beatAt } = worker;
  if (problem !== null) return { level: 'bad', text: '✕ unreadable' };
  if (isSilent(worker, now))
    return { level: 'bad', text: beatAt === null ? '✕ silent' : `✕ silent for ${duration(now - Date.parse(beatAt))}` };
  if (draining) return { level: 'fair', text: '◐ shutting down' };
  if (drained)
    return running.length === 0 && fetching === false ? { level: 'soft', text: '‖ drained' } : { level: 'fair', text: '◐ draining' };
  if (fetching === false) return { level: 'fair', text: '◐ resuming' };
  return { level: 'good', text: '● up' };
}

/** Returns what an operator should look at, each in a few words. */
export function concernsOf(worker: Worker): string[] {
  const { problem, subscribed, draining, zombies, broken, log_error: logError, clock_ms: clockMs, definitions_differ: differ } = worker;
  const { loop_delay_ms: delayMs, heap_bytes: heap, heap_limit_bytes: limit } = worker;
  return [
    ...(problem === null ? [] : [problem]),
    ...broken.map(({ queue, problem: why }) => `cannot fetch from ${queue}: ${why}`),
    ...(subscribed === false && draining !== true ? ['not subscribed to stops: polls for them'] : []),
    ...((zombies ?? 0) > 0 ? [`${count(zombies as number, 'abandoned handler')} still ${zombies === 1 ? 'runs' : 'run'}`] : []),
    ...(delayMs !== null && delayMs > LONG_DELAY_MS ? [`event loop is busy: delay ${latency(delayMs)}`] : []),
    ...(heap !== null && limit !== null && heap > FULL_HEAP * limit ? [`heap is ${Math.round((100 * heap) / limit)} % full`] : []),
    ...(clockMs !== null && Math.abs(clockMs) > WRONG_CLOCK_MS
      ? [`clock ${duration(Math.abs(clockMs))} ${clockMs > 0 ? 'ahead' : 'behind'}`]
      : []),
    ...(logError === null ? [] : [`cannot write its log: ${logError}`]),
    ...(differ.length === 0 ? [] : [`differs: ${differ.join(', ')}`]),
  ];
}

/** Returns the queues that nobody would take if this worker fetched nothing. */
export function onlyTakenBy({ id, queues, maintenance }: Worker, workers: readonly Worker[]): string[] {
  const others = workers.filter(
    (other) => other.id !== id && other.alive && other.fetching !== false && other.drained === null && !other.draining,
  );
  const alone = queues.filter((queue) => !others.some((other) => other.queues.includes(queue)));
  return [...alone, ...(maintenance !== false && !others.some((other) => other.maintenance !== false) ? ['maintenance'] : [])];
}

const MB = 1_048_576;

/** Formats a size of memory: `212 MB`, `1.4 GB`. */
export function memory(bytes: number): string {
  return bytes < 1_000 * MB ? `${Math.round(bytes / MB)} MB` : `${Math.round((10 * bytes) / (1_024 * MB)) / 10} GB`;
}
