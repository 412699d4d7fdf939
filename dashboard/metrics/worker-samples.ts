import { readReconcile } from '../../shared/records/reconcile.js';
import type { WorkerRecord } from '../../shared/records/heartbeats.js';
import type { Store } from '../../shared/store.js';
import { readBeats } from './beats.js';
import { type Sample, sample } from './exposition.js';

/** Returns worker metrics from the last heartbeats, and the reconciler's last run. */
export async function workerSamples(store: Store): Promise<Sample[]> {
  const [{ alive, silent }, reconciled] = await Promise.all([readBeats(store), readReconcile(store)]);
  const sum = (count: (beat: WorkerRecord) => number): number => alive.reduce((total, beat) => total + count(beat), 0);
  return [
    sample('taskfleet_workers', alive.length),
    sample(
      'taskfleet_workers_subscribed',
      sum(({ subscribed }) => Number(subscribed)),
    ),
    sample(
      'taskfleet_workers_draining',
      sum(({ draining }) => Number(draining)),
    ),
    sample('taskfleet_workers_silent', silent),
    sample(
      'taskfleet_slots',
      sum(({ slots }) => slots ?? 0),
    ),
    sample(
      'taskfleet_slots_busy',
      sum(({ running }) => running.length),
    ),
    sample(
      'taskfleet_zombies',
      sum(({ zombies }) => zombies ?? 0),
    ),
    sample('taskfleet_workers_clock_offset_seconds', Math.max(0, ...alive.map(({ clockMs }) => Math.abs(clockMs ?? 0))) / 1_000),
    ...(reconciled ? [sample('taskfleet_reconciler_last_run_timestamp_seconds', reconciled.at / 1_000)] : []),
  ];
}
