import type { Job, RedisQueueBackend } from 'bullmq';

interface Completion {
  readonly json: string;
  /** Further fields of the job, written by the same script. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
  readonly token: string;
  readonly fetchNext: boolean;
  /** Time of the end, in ms since the epoch. Default: the machine's. */
  readonly at?: number;
}

/**
 * Completes a job with a result that is JSON already, by `moveToFinishedArgs`: BullMQ would serialize it again, and it completes no job
 * with further fields. Returns the reply to come and the time of the end, in ms since the epoch. Test: test/worker/run/bounds.test.ts.
 */
export function completeWithJson(job: Job, completion: Completion): { readonly reply: Promise<unknown[]>; readonly at: number } {
  const { backend } = job as unknown as { readonly backend: RedisQueueBackend };
  const args = finishArguments(job, backend, completion);
  return { reply: backend.moveToFinished(job.id as string, args), at: Number(args[backend.moveToFinishedKeys.length + 1]) };
}

type FinishArguments = ReturnType<RedisQueueBackend['moveToCompletedArgs']>;

/** The arguments of an earlier job, and what those of another one must have in common with them. */
interface Template {
  readonly args: FinishArguments;
  readonly keep: boolean;
  readonly fetchNext: boolean;
  readonly attempts: number | undefined;
}

/** By backend, then by token. */
const templatesOf = new WeakMap<RedisQueueBackend, Map<string, Template>>();
/** Most templates of a backend. A slot of a busy worker uses the same token for one job after the other. */
const MOST_TEMPLATES = 1_000;

/**
 * Returns the arguments of `moveToFinished` for a completed job. BullMQ packs the same options again for each job: a copy of an earlier
 * job's arguments differs only in the job's key, id, end and result. Test: test/contract/bullmq-overrides.test.ts.
 */
export function finishArguments(
  job: Job,
  backend: RedisQueueBackend,
  { json, token, fetchNext, fields, at = Date.now() }: Completion,
): FinishArguments {
  const internals = backend as unknown as { moveToFinishedArgs(...args: unknown[]): FinishArguments };
  const keep = job.opts.removeOnComplete ?? false;
  const make = (): FinishArguments =>
    internals.moveToFinishedArgs(job, json, 'returnvalue', keep, 'completed', token, at, fetchNext, fields);
  if (fields !== undefined || typeof keep !== 'boolean' || mayHaveParent(job)) return make();
  let templates = templatesOf.get(backend);
  if (!templates) templatesOf.set(backend, (templates = new Map()));
  const { attempts } = job.opts;
  const template = templates.get(token);
  if (template?.keep !== keep || template.fetchNext !== fetchNext || template.attempts !== attempts) {
    const made = make();
    if (templates.size >= MOST_TEMPLATES) templates.clear();
    templates.set(token, { args: made, keep, fetchNext, attempts });
    return made;
  }
  const args = template.args.slice();
  const id = job.id as string;
  const keys = backend.moveToFinishedKeys.length;
  args[JOB_KEY] = backend.toKey(id);
  args[keys] = id;
  args[keys + 1] = at;
  args[keys + 3] = json;
  return args;
}

/** Position of the job's key. */
const JOB_KEY = 11;

/** Whether the packed options may differ from those of another job. */
function mayHaveParent({ parentKey, opts }: Job): boolean {
  const { failParentOnFailure, continueParentOnFailure, ignoreDependencyOnFailure, removeDependencyOnFailure } = opts;
  const flags = failParentOnFailure || continueParentOnFailure || ignoreDependencyOnFailure || removeDependencyOnFailure;
  return parentKey !== undefined || flags === true;
}
