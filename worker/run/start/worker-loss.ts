import { type Attempt, parseAttempts, withLastError } from '../../../shared/attempt/attempt.js';
import { failureOf } from '../../../shared/attempt/failure.js';
import { FleetError } from '../../../shared/errors.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import { type FleetJob, NotRunAgain } from '../../fetch/fleet-job.js';

/** Most lost workers that the error of a task names. */
const MAX_NAMED = 5;

/**
 * Checks how often a fetched task has lost its worker. Returns the error of a task that must not run again, else null.
 *
 * A stall is no loss if the worker reported that it lives: then only `retries: 0` counts it, because the task may have run.
 */
export function checkLosses(
  job: Pick<FleetJob, 'stalledCounter' | 'losses' | 'history'>,
  { name, onWorkerLost: { retries } }: Pick<AnyDefinition, 'name' | 'onWorkerLost'>,
): NotRunAgain | null {
  const tooMany = retries === 0 ? job.stalledCounter > 0 : job.losses > retries;
  if (!tooMany) return null;
  const { records } = job.history;
  const lost = parseAttempts(records, () => undefined)
    .map(({ attempt }) => attempt)
    .filter(({ outcome }) => outcome === 'worker_lost' || outcome === 'lock_lost')
    .slice(-job.stalledCounter);
  const why =
    retries === 0
      ? `${name} runs at most once (onWorkerLost.retries is 0), and its worker was lost`
      : `The worker of ${name} was lost ${job.losses} times; onWorkerLost.retries is ${retries}`;
  const error = new FleetError('WORKER_LOST', `${why}${namesOf(lost)}.`, {
    details: { task: name, losses: job.losses, retries, workers: lost.map(({ worker }) => worker?.id ?? null) },
  });
  return new NotRunAgain(error, { unrun: '1', ...withLastError(records, { ...failureOf(error), stack: null }) });
}

function namesOf(lost: readonly Attempt[]): string {
  if (lost.length === 0) return '';
  const named = lost.slice(-MAX_NAMED).map(({ worker, startedAt, endedAt }) => {
    const since = startedAt ? ` (started ${startedAt.toISOString()}, lost by ${endedAt?.toISOString() ?? 'an unknown time'})` : '';
    return `${worker?.id ?? 'an unknown worker'}${since}`;
  });
  return `: ${named.join(', ')}`;
}
