import type { TaskContext } from '../../shared/task/handler.js';
import type { TerminalState } from '../../shared/task/state.js';
import type { Launcher } from '../../worker/launcher.js';

/** Logical time of the run: each event has a later value. */
export type Instant = number;

export interface PlayedWorker {
  readonly name: string;
  readonly id: string;
  readonly launcher: Launcher;
  /** Its Redis user: deleted, the worker cannot reach Redis. */
  readonly user: string;
  /** Has no visible effect any more. */
  dead: boolean;
  /** Requeues its running tasks and ends. */
  retiring: boolean;
}

/** The behaviour of a task: which attempts are retried, and whether its handler heeds its signal. */
export interface Manner {
  readonly kind: 'once' | 'quick' | 'slow';
  readonly mood: 'heeds' | 'deaf';
}

/** A requested stop of one task. */
export interface StopFact {
  readonly how: string;
  readonly firedAt: Instant;
  answered: boolean;
  /** The time of its acknowledgement. */
  ackedAt: Instant | null;
  /** Whether the answer confirmed the stop. */
  holds: boolean;
}

/** One call of a handler. */
export interface CallFact {
  readonly n: number;
  readonly task: TaskFact;
  readonly life: Life;
  readonly worker: PlayedWorker;
  readonly context: TaskContext;
  abortedBy: string | null;
  /** How the handler ended, and the abort cause of its signal at that time. */
  ended: { readonly how: 'returns' | 'throws'; readonly abortedBy: string | null } | null;
  readonly end: (how: 'returns' | 'throws') => void;
}

/** The life of a task from its enqueue, or from a retry, to its final state. */
export interface Life {
  readonly bornAt: Instant;
  readonly stops: StopFact[];
  /** Stops of the previous life in progress when this one began: they may or may not apply to it. */
  readonly stray: readonly StopFact[];
  readonly calls: CallFact[];
  end: { readonly state: TerminalState; readonly at: number } | null;
}

export interface TaskFact extends Manner {
  readonly label: string;
  readonly item: string | null;
  readonly parent: { readonly task: TaskFact; readonly life: Life } | null;
  readonly firedAt: Instant;
  id: string | null;
  /** The time at which its enqueue was acknowledged. */
  addedAt: Instant | null;
  /** Rejected by `onBusy: 'reject'`. */
  refused: boolean;
  readonly lives: Life[];
  readonly fetches: { readonly at: Instant; readonly worker: PlayedWorker }[];
}

/** A stop of all live tasks of an item, requested or in favour of another task. */
export interface ItemStop {
  readonly item: string;
  readonly firedAt: Instant;
  answeredAt: Instant | null;
}

export function lifeOf(task: TaskFact): Life {
  return task.lives.at(-1) as Life;
}

/** The attempts of each kind of task. */
export const ATTEMPTS = { once: 1, quick: 3, slow: 2 } as const;
