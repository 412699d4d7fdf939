import type { LimitStep } from './marks.js';

/** A task with limits. */
export interface LimitedTask {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** As in BullMQ: 0 first. */
  readonly priority: number;
  readonly steps: readonly LimitStep[];
  /** In ms since the epoch: then the task is admitted whatever its limits, and its worker fails it. Default: none. */
  readonly deadline?: number | null;
  /** Tasks with limits above a child: its parent, the parent's parent. Default: none. */
  readonly ancestors?: readonly string[];
  /** Names the run that starts, such as its lock's token: `release` can then tell it from a later run. */
  readonly run?: string;
  /** Names the enqueue that makes the record, until the task starts. Default: none. */
  readonly nonce?: string;
}

/** What is stored of a task with limits. */
export interface LimitRecord {
  readonly state: 'line' | 'admitted' | 'running';
  readonly queue: string;
  /** When its rate lets it start, in ms since the epoch; 0 for now. */
  readonly at: number;
  /** The run that started; '' for none. */
  readonly run: string;
  /** Null if it is not in a line. */
  readonly waitingFor: WaitingFor | null;
}

/** Whether a task may start. */
export type Standing =
  | { readonly kind: 'go' }
  /** It may start at this time, in ms since the epoch: its rate is paid. */
  | { readonly kind: 'at'; readonly at: number }
  /** It waits in a line. */
  | { readonly kind: 'line' };

/** Why a task was not admitted; nothing was written. */
export interface Refused {
  /** `parent`: one of its ancestors holds the place that it would wait for. */
  readonly kind: 'busy' | 'parent';
  /** The key's id. */
  readonly id: string;
  /** Tasks that hold places of the key, or wait for one; at most 10. */
  readonly ids: readonly string[];
}

/** The answer to the enqueue of a task. */
export type Admission = (Standing & { /** Tasks to stop in favour of this one. */ readonly rivals: readonly string[] }) | Refused;

/** What a task in a line waits for. */
export interface WaitingFor {
  readonly kind: LimitStep['kind'];
  /** The key's id. */
  readonly id: string;
  readonly limit: number;
  /** Holders of the key's places; 0 for a rate. */
  readonly running: number;
  /** From 1. */
  readonly position: number;
  /** Tasks in the line. */
  readonly length: number;
  /** When the rate allows the first of the line to start; null for places. */
  readonly until: Date | null;
  /** Holders of the key's places, at most 3. */
  readonly behind: readonly string[];
}

/** The state of a key with a line or a setting. */
export interface KeyStatus {
  readonly kind: LimitStep['kind'];
  readonly id: string;
  /** Null if it is unknown: a setting for a key that no task uses. */
  readonly limit: number | null;
  /** The limit set at run time; null for none. */
  readonly set: number | null;
  readonly running: number;
  readonly waiting: number;
  /** Since when tasks have waited; null without a line. */
  readonly waitingSince: Date | null;
  /** When the rate allows the next start; null for places. */
  readonly until: Date | null;
}

/** What `readStandings` returns of a task: see the script's header. */
export type StoredStanding = readonly [
  state: LimitRecord['state'],
  queue: string,
  at: string,
  run: string,
  kind?: LimitStep['kind'],
  id?: string,
  limit?: string,
  running?: number,
  position?: number,
  length?: number,
  until?: string,
  behind?: string[],
];

/** What `describeKeys` returns of a key: see the script's header. */
export type StoredKey = readonly [
  id: string,
  kind: LimitStep['kind'] | '',
  limit: string,
  set: string,
  running: number,
  waiting: number,
  since: string,
  until: string,
];
