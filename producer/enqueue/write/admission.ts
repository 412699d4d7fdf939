import type { JobJson } from 'bullmq';
import type { Limiter } from '../../../shared/limiter/limiter.js';
import { PARKED_AT } from '../../../shared/limiter/parked-jobs.js';
import type { Admission, Refused } from '../../../shared/limiter/standing.js';
import type { TaskJobOptions } from '../../../shared/task/job-options.js';
import type { PreparedTask } from '../prepare.js';

/** A task about to be written, with its job. */
export interface Unwritten {
  readonly task: PreparedTask;
  readonly queue: string;
  readonly job: JobJson & { readonly opts: TaskJobOptions };
}

export type Admitted = Exclude<Admission, Refused>;

/** The result of an admission. */
type Outcome<Job> =
  /** The job is delayed if the task may not start yet. */
  { readonly standing: Admitted; readonly job: Job } | { readonly refused: Refused } | { readonly error: unknown; readonly exists: false };

/** Whether the task must be admitted before its job is written. A delayed one lines up when it is due, and holds nothing until then. */
export function needsAdmission({ steps, delay }: PreparedTask): boolean {
  return steps !== null && delay === 0;
}

/** Admits a task, or puts it in line. Never rejects. */
export async function admit<Job extends Unwritten['job']>(
  limiter: Limiter,
  { task, queue, job }: Unwritten & { readonly job: Job },
): Promise<Outcome<Job>> {
  const { steps, definition, priority, deadline, ancestors, whenBusy } = task;
  const { nonce } = job.opts;
  const limited = { id: job.id, queue, name: definition.name, priority, steps: steps ?? [], deadline };
  const more = { ...(nonce !== undefined && { nonce }), ...(ancestors.length > 0 && { ancestors }) };
  try {
    const standing = await limiter.admit({ ...limited, ...more }, whenBusy);
    return isRefused(standing) ? { refused: standing } : { standing, job: delayed(job, standing) };
  } catch (error) {
    return { error, exists: false };
  }
}

function isRefused(admission: Admission): admission is Refused {
  return admission.kind === 'busy' || admission.kind === 'parent';
}

/** Delays the job of a task that may not start yet: until its rate allows it, or parked until the limiter moves it on. */
function delayed<Job extends Unwritten['job']>(job: Job, standing: Admitted): Job {
  if (standing.kind === 'go') return job;
  const delay = Math.ceil((standing.kind === 'at' ? standing.at : PARKED_AT) - job.timestamp);
  return delay > 0 ? { ...job, opts: { ...job.opts, delay } } : job;
}
