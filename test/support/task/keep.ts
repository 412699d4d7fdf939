import type { RetentionPolicy } from '../../../shared/task/definition.js';

/** Retention for tasks of tests about something else: everything is kept while a test runs. */
export const KEEP: RetentionPolicy = { completed: { ageMs: 3_600_000, count: 1_000_000 }, failed: { ageMs: 3_600_000, count: 1_000_000 } };
