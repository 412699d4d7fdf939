import { randomInt } from 'node:crypto';
import type { Logger } from '../../shared/logger.js';
import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import type { Store } from '../../shared/store.js';
import { taskOptions } from '../../shared/task/job-options.js';
import type { FleetJob } from '../fetch/fleet-job.js';
import type { Outcome } from './outcome.js';

/** Delay before a waiting run asks again, in ms: it grows with the time already waited, because the active run may be short or long. */
const ASK_AGAIN_MS = { first: 100, longest: 1_000 } as const;

/** Decides whether a scheduled task may start: null if it may, else its outcome. */
export class ScheduledStart {
  constructor(
    private readonly store: Pick<Store, 'overlapGuard' | 'clock'>,
    private readonly logger: Logger,
  ) {}

  async check(job: FleetJob): Promise<Outcome | null> {
    const { schedule } = taskOptions(job.opts);
    if (!schedule) return null;
    const id = job.id as string;
    // Jitter applies once: the second fetch is the delayed one.
    if (schedule.jitterMs > 0 && !schedule.retried && isScheduledRun(id) && job.attemptsStarted <= 1)
      return { kind: 'defer', ms: randomInt(schedule.jitterMs + 1) };
    const turn = await this.store.overlapGuard.take(schedule, job.queueName, id);
    if (turn.kind === 'start') return null;
    const { other } = turn;
    this.logger.debug(
      { id, schedule: schedule.id, other },
      turn.kind === 'skip' ? 'Skipped: overlaps another run of its schedule' : 'Deferred: waiting for another run of its schedule',
    );
    if (turn.kind === 'skip') return { kind: 'complete', value: { skipped: true, other } };
    // Asking again must not use up the fetches after which UnknownTasks gives up.
    return {
      kind: 'defer',
      ms: askAgainMs(this.store.clock.now() - (isScheduledRun(id) ? dueTimeOf(id) : job.timestamp)),
      starts: Math.max(1, job.attemptsStarted - 1),
    };
  }
}

/** @param waitedMs since the task was due; negative if Redis' clock was set back */
function askAgainMs(waitedMs: number): number {
  return Math.min(ASK_AGAIN_MS.longest, Math.max(ASK_AGAIN_MS.first, waitedMs));
}
