import { loadTask } from '../../faults/load/load-task.js';

/**
 * The task of the fault scenarios with a short retention: the keys in Redis reach a plateau within half a minute. Each ended task is
 * read before its removal.
 */
const KEPT = { ageMs: 30_000, count: 100_000 };
export const soakTask = { ...loadTask, retention: { completed: KEPT, failed: KEPT, cancelled: KEPT } };

export const LOCK_MS = 5_000;
export const SHUTDOWN_TIMEOUT_MS = 2_000;
/** Settings of the workers: short intervals, so that a fleet reacts within seconds instead of half a minute. */
export const WORKER_SETTINGS = {
  ...{ LOCK_DURATION_MS: String(LOCK_MS), STALLED_CHECK_INTERVAL_MS: '1000', HEARTBEAT_INTERVAL_MS: '1000', RECONCILE_INTERVAL_MS: '2000' },
  ...{ ENQUEUE_GRACE_MS: '5000', STOP_GRACE_MS: '1000', STOP_POLL_INTERVAL_MS: '1000', SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_TIMEOUT_MS) },
  ...{ GLOBAL_LOG_LEVEL: 'error', WORKER_LOG_LEVEL: 'info' },
} as const;
