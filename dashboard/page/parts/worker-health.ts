import type { Worker } from './api-types.js';
import { duration } from './wording.js';

/** Three heartbeats at the default interval of 5 s. */
const SILENT_MS = 15_000;

export interface Health {
  readonly level: 'good' | 'fair' | 'bad';
  readonly text: string;
}

/** Returns whether the worker has missed its heartbeats. */
export function isSilent({ alive, beat_at: beatAt }: Worker, now: number): boolean {
  return !alive || (beatAt !== null && now - Date.parse(beatAt) > SILENT_MS);
}

/** Returns the worker's state. */
export function healthOf(worker: Worker, now: number): Health {
  if (worker.problem !== null) return { level: 'bad', text: `✕ unreadable: ${worker.problem}` };
  if (isSilent(worker, now))
    return {
      level: 'bad',
      text: worker.beat_at === null ? '✕ no heartbeat' : `✕ no heartbeat for ${duration(now - Date.parse(worker.beat_at))}`,
    };
  if (worker.draining) return { level: 'fair', text: '◐ draining: fetches no new tasks' };
  return { level: 'good', text: '● alive' };
}

/** Returns whether the worker is subscribed to stop commands. */
export function listenerOf({ alive, subscribed }: Worker): Health {
  if (!alive || subscribed === null) return { level: 'fair', text: '– unknown' };
  return subscribed ? { level: 'good', text: '● subscribed' } : { level: 'bad', text: '✕ not subscribed: polls for stops' };
}
