import type { Retention, RetentionPolicy } from '../../../shared/task/policies.js';

const ALL: Retention = { ageMs: 3_600_000, count: 1_000_000 };

/** Retention for tasks of tests about something else: everything is kept while a test runs. */
export const KEEP: RetentionPolicy = { completed: ALL, failed: ALL, cancelled: ALL };
