import type { JobsOptions } from 'bullmq';
import { DEFAULT_RETENTION, type Retention } from '../task/policies.js';

/** Kinds of ended tasks. Failed and cancelled tasks share BullMQ's set `failed`. */
export type EndedKind = keyof JobRetention;

/** The limits of a job's retention, each as text: `<age in seconds>:<count>`, with nothing in place of an absent limit. */
export interface JobRetention {
  readonly completed: string;
  readonly failed: string;
  readonly cancelled: string;
}

/** Limits in BullMQ's units, as a job's options store them. */
export interface StoredLimits {
  /** In seconds. */
  readonly age: number;
  readonly count: number;
}

const LIMITS = /^\d{0,15}:\d{0,15}$/;

/** Returns the limits of each queue: each shard keeps its share of the count. */
export function storedLimits({ ageMs, count }: Retention, shards: number): StoredLimits {
  return { age: Math.ceil(ageMs / 1_000), count: Math.ceil(count / shards) };
}

/** The retention of tasks whose job does not state it. */
const DEFAULTS: Readonly<Record<EndedKind, StoredLimits>> = {
  completed: storedLimits(DEFAULT_RETENTION.completed, 1),
  failed: storedLimits(DEFAULT_RETENTION.failed, 1),
  cancelled: storedLimits(DEFAULT_RETENTION.cancelled, 1),
};

/** The retention of a job that states none, formatted once. */
const DEFAULT_TEXTS: JobRetention = Object.freeze({
  completed: limitsOf(DEFAULTS.completed),
  failed: limitsOf(DEFAULTS.failed),
  cancelled: limitsOf(DEFAULTS.cancelled),
});

/** Returns the limits that a job must state; undefined if a job without them has the same ones. */
export function limitsUnlessDefault(kind: EndedKind, limits: StoredLimits): StoredLimits | undefined {
  const { age, count } = DEFAULTS[kind];
  return limits.age === age && limits.count === count ? undefined : limits;
}

/** Returns the retention of a job by its options; null for a job of another program, which BullMQ keeps or removes by itself. */
export function retentionOf(options: JobsOptions & { readonly item?: unknown; readonly keepCancelled?: unknown }): JobRetention | null {
  if (typeof options.item !== 'string') return null;
  const { removeOnComplete, removeOnFail, keepCancelled } = options;
  if ((removeOnComplete ?? removeOnFail ?? keepCancelled ?? null) === null) return DEFAULT_TEXTS;
  return {
    completed: limitsOf(removeOnComplete ?? DEFAULTS.completed),
    failed: limitsOf(removeOnFail ?? DEFAULTS.failed),
    cancelled: limitsOf(keepCancelled ?? DEFAULTS.cancelled),
  };
}

/** Returns whether tasks with these limits are removed as soon as they end. */
export function keepsNone(limits: string): boolean {
  return limits.endsWith(':0');
}

/** Returns whether a text states limits. */
export function areLimits(text: string): boolean {
  return LIMITS.test(text);
}

/** Formats the limits of an option: true removes, a number is a count, and anything else that is not an object keeps. */
function limitsOf(kept: unknown): string {
  if (kept === true) return ':0';
  if (typeof kept === 'number') return `:${formatLimit(kept)}`;
  if (typeof kept !== 'object' || kept === null) return ':';
  const { age, count } = kept as { readonly age?: unknown; readonly count?: unknown };
  return `${formatLimit(age)}:${formatLimit(count)}`;
}

function formatLimit(limit: unknown): string {
  return typeof limit === 'number' && limit >= 0 && limit <= Number.MAX_SAFE_INTEGER ? String(Math.ceil(limit)) : '';
}
