import type { Job } from 'bullmq';
import type { WhenBusy } from '../../../shared/limiter/policy.js';
import type { LimitedTask, Standing } from '../../../shared/limiter/standing.js';

/**
 * How far the process that handles a task has got. It may die after each step.
 * - `registered`: next, the producer asks for admission.
 * - `adding`: it was answered, and adds the job.
 * - `added`: the job was added or delayed again while its task was in line, and is rechecked.
 * - `queued`: nobody handles it.
 * - `fetched`: a worker has the job, and asks whether it may start.
 * - `parking`: it was told to wait, and delays the job.
 * - `running`.
 * - `releasing`: the job has ended or waits for its retry, and its places are released.
 * - `ended`.
 */
export type Phase = 'registered' | 'adding' | 'added' | 'queued' | 'fetched' | 'parking' | 'running' | 'releasing' | 'ended';

/** A task of a run. */
export class Entrant {
  phase: Phase = 'registered';
  standing: Standing | null = null;
  /** Set while a worker has the job. */
  job: Job | null = null;
  /** The token of its last run; '' until it was fetched. */
  run = '';
  isOver = false;
  hasRun = false;
  /** A key was deleted in its life: its places may be restored beside the next holder. */
  isForgotten = false;

  constructor(
    readonly label: string,
    readonly limited: LimitedTask,
    readonly whenBusy: WhenBusy,
  ) {}

  get id(): string {
    return this.limited.id;
  }
}
