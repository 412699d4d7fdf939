import type { Store } from '../../shared/store.js';
import { type BrokenQueue, parseBrokenQueues } from '../../shared/task/queue-keys.js';

/** A worker by its last heartbeat. */
export interface Beat {
  readonly slots: number;
  readonly running: number;
  readonly zombies: number;
  readonly draining: boolean;
  readonly subscribed: boolean;
  /** In ms since the epoch. */
  readonly startedAt: number;
  /** How far the clock of its machine is ahead of Redis', in ms. */
  readonly clockMs: number;
  readonly broken: readonly BrokenQueue[];
  /** Why it cannot write its log; null if it can. */
  readonly logError: string | null;
}

export interface Beats {
  readonly alive: readonly Beat[];
  /** Workers that fell silent within the last hour, without a farewell. */
  readonly silent: number;
}

const FIELDS = ['slots', 'running', 'zombies', 'draining', 'subscribed', 'started_at', 'beat_at', 'broken', 'clock_ms', 'log_error'] as const;

export async function readBeats({ redis, keys }: Store): Promise<Beats> {
  const ids = await redis.zrange(keys.workers, '0', '-1');
  const rows = await Promise.all(ids.map((id) => redis.hmget(keys.worker(id), ...FIELDS)));
  const alive = rows.filter(([slots]) => slots !== null).map(beatOf);
  return { alive, silent: ids.length - alive.length };
}

function beatOf([slots, running, zombies, draining, subscribed, startedAt, , broken, clock, logError]: readonly (string | null | undefined)[]): Beat {
  return {
    slots: Number(slots),
    running: lengthOf(running ?? '[]'),
    zombies: Number(zombies ?? 0),
    draining: draining === '1',
    subscribed: subscribed === '1',
    startedAt: Number(startedAt ?? 0),
    clockMs: Number(clock ?? 0) || 0,
    broken: parseBrokenQueues(broken),
    logError: logError || null,
  };
}

function lengthOf(json: string): number {
  try {
    const list: unknown = JSON.parse(json);
    return Array.isArray(list) ? list.length : 0;
  } catch {
    return 0;
  }
}
