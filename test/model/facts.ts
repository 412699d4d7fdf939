import type { TerminalState } from '../../shared/task/state.js';
import type { TaskContext } from '../../shared/task/handler.js';
import type { Launcher } from '../../worker/launcher.js';

/** Points of the run's own time: each thing that happens has a later one. */
export type Instant = number;

export interface PlayedWorker {
  readonly name: string;
  readonly id: string;
  readonly launcher: Launcher;
  /** Its user in Redis: without it, it reaches Redis no more. */
  readonly user: string;
  /** Does nothing any more that anybody could see. */
  dead: boolean;
  /** Hands back what it runs, and ends. */
  retiring: boolean;
}

/** How a task behaves: when its attempts are repeated, and whether its handler heeds its signal. */
export interface Manner {
  readonly kind: 'once' | 'quick' | 'slow';
  readonly mood: 'heeds' | 'deaf';
}

/** A stop that somebody asked for, of one task. */
export interface StopFact {
  readonly how: string;
  readonly firedAt: Instant;
  answered: boolean;
  /** When everybody could know that it was acknowledged. */
  ackedAt: Instant | null;
  /** Whether the answer said that the stop holds. */
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
  /** How the handler ended, and what its signal had been aborted with by then. */
  ended: { readonly how: 'returns' | 'throws'; readonly abortedBy: string | null } | null;
  readonly end: (how: 'returns' | 'throws') => void;
}

/** A task's time from its enqueue, or from a retry, to its terminal state. */
export interface Life {
  readonly bornAt: Instant;
  readonly stops: StopFact[];
  /** Stops of the life before that were under way when this one began: they may reach it or not. */
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
  /** When its enqueue was acknowledged. */
  addedAt: Instant | null;
  /** `onBusy: 'reject'` refused it. */
  refused: boolean;
  readonly lives: Life[];
  readonly fetches: { readonly at: Instant; readonly worker: PlayedWorker }[];
}

/** A stop of all that is live on an item, by hand or in favour of another task. */
export interface ItemStop {
  readonly item: string;
  readonly firedAt: Instant;
  answeredAt: Instant | null;
}

export function lifeOf(task: TaskFact): Life {
  return task.lives.at(-1) as Life;
}

/** Attempts that a task of each kind has. */
export const ATTEMPTS = { once: 1, quick: 3, slow: 2 } as const;
