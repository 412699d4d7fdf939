import type { RetentionPolicy } from '../../../shared/task/definition.js';

/** For tasks whose tests do not care what is kept of them: all, for as long as a test runs. */
export const KEEP: RetentionPolicy = { completed: { ageMs: 3_600_000, count: 1_000_000 }, failed: { ageMs: 3_600_000, count: 1_000_000 } };
