import type { Store } from '../../shared/store.js';
import { type Beat, readBeats } from './beats.js';
import { type Sample, sample } from './exposition.js';

/** Who works, by their last heartbeats, and when the reconciler last did. */
export async function workerSamples(store: Store): Promise<Sample[]> {
  const { redis, keys } = store;
  const [{ alive, silent }, reconciledAt] = await Promise.all([readBeats(store), redis.hget(keys.reconcile, 'at')]);
  const sum = (count: (beat: Beat) => number): number => alive.reduce((total, beat) => total + count(beat), 0);
  return [
    sample('taskfleet_workers', alive.length),
    sample('taskfleet_workers_subscribed', sum(({ subscribed }) => Number(subscribed))),
    sample('taskfleet_workers_draining', sum(({ draining }) => Number(draining))),
    sample('taskfleet_workers_silent', silent),
    sample('taskfleet_slots', sum(({ slots }) => slots)),
    sample('taskfleet_slots_busy', sum(({ running }) => running)),
    sample('taskfleet_zombies', sum(({ zombies }) => zombies)),
    sample('taskfleet_workers_clock_offset_seconds', Math.max(0, ...alive.map(({ clockMs }) => Math.abs(clockMs))) / 1_000),
    ...(reconciledAt ? [sample('taskfleet_reconciler_last_run_timestamp_seconds', Number(reconciledAt) / 1_000)] : []),
  ];
}
