import type { LimitName } from '../limit-id.js';

/** A limit: of one key, of all tasks of a name, or with the key `*` of each key without a setting of its own. */
export interface LimitView extends LimitName {
  /** The limit that applies; of a rate, its starts or tokens in a period. Null if unknown or unreadable. */
  readonly limit: number | null;
  /** The period of a rate in ms; null for another kind. */
  readonly perMs: number | null;
  /** What a rate admits at once after a pause; null for another kind. */
  readonly burst: number | null;
  /** Whether the limit was set at run time, or is that of the definition. */
  readonly source: 'definition' | 'set';
  /** Tasks that hold a place of the key; 0 for a rate and for the key `*`. */
  readonly running: number;
  /** Tasks in line. */
  readonly waiting: number;
  /** Since when the key has had a line; null without one. */
  readonly waitingSince: Date | null;
  /** When a rate with a line admits its next task; null otherwise. */
  readonly nextAt: Date | null;
  /** What is unreadable in its records; null if nothing is. */
  readonly problem: string | null;
}

/** Formats a limit for the CLI and HTTP. */
export function limitToJson(limit: LimitView): Record<string, unknown> {
  return {
    name: limit.name,
    key: limit.key,
    kind: limit.kind,
    limit: limit.limit,
    per_ms: limit.perMs,
    burst: limit.burst,
    source: limit.source,
    running: limit.running,
    waiting: limit.waiting,
    waiting_since: limit.waitingSince?.toISOString() ?? null,
    next_at: limit.nextAt?.toISOString() ?? null,
    problem: limit.problem,
  };
}
