import type { Worker } from './api-types.js';
import { duration } from './wording.js';

/** Three heartbeats of five seconds, unless that is set otherwise. */
const SILENT_MS = 15_000;

export interface Health {
  readonly level: 'good' | 'fair' | 'bad';
  readonly text: string;
}

/** Whether its heartbeat has stalled. */
export function isSilent({ alive, beat_at: beatAt }: Worker, now: number): boolean {
  return !alive || (beatAt !== null && now - Date.parse(beatAt) > SILENT_MS);
}

/** How a worker is. */
export function healthOf(worker: Worker, now: number): Health {
  if (worker.problem !== null) return { level: 'bad', text: `✕ cannot be read: ${worker.problem}` };
  if (isSilent(worker, now))
    return { level: 'bad', text: worker.beat_at === null ? '✕ silent' : `✕ silent for ${duration(now - Date.parse(worker.beat_at))}` };
  if (worker.draining) return { level: 'fair', text: '◐ draining: takes nothing new' };
  return { level: 'good', text: '● alive' };
}

/** Whether stops reach it at once. */
export function listenerOf({ alive, subscribed }: Worker): Health {
  if (!alive || subscribed === null) return { level: 'fair', text: '– unknown' };
  return subscribed ? { level: 'good', text: '● hears stops' } : { level: 'bad', text: '✕ deaf: finds stops by polling' };
}
