import { randomInt } from 'node:crypto';
import type { Logger } from '../../../shared/log/logger.js';
import { isScheduledRun } from '../../../shared/schedule/schedule.js';
import type { Store } from '../../../shared/store.js';
import type { FleetJob } from '../../fetch/fleet-job.js';
import { untilAccepted } from '../../fetch/settle/refusals.js';
import type { Outcome } from '../outcome.js';

/** Delay before a waiting run asks again, in ms: it grows with the time that the active run has taken, which may be short or long. */
const ASK_AGAIN_MS = { first: 100, longest: 1_000 } as const;
/** Runs further back in line ask less often, in proportion to their place, so that a long line costs little. */
const FRONT = 10;
const LONGEST_IN_LINE_MS = 30_000;

/** Decides whether a task of a schedule may start: null if it may, else its outcome. */
export class ScheduledStart {
  constructor(
    private readonly store: Pick<Store, 'overlapGuard' | 'clock'>,
    private readonly logger: Logger,
  ) {}

  async check(job: FleetJob): Promise<Outcome | null> {
    const { schedule } = job.taskOptions;
    if (!schedule) return null;
    const id = job.id as string;
    // Jitter applies once: the second fetch is the delayed one.
    if (schedule.jitterMs > 0 && !schedule.retried && isScheduledRun(id) && job.attemptsStarted <= 1)
      return { kind: 'defer', ms: randomInt(schedule.jitterMs + 1) };
    const turn = await untilAccepted(() => this.store.overlapGuard.take(schedule, job.queueName, id));
    if (turn.kind === 'start') return null;
    const { other } = turn;
    this.logger.debug(
      { id, schedule: schedule.id, other },
      turn.kind === 'skip' ? 'Skipped: overlaps another run of its schedule' : 'Deferred: waiting for another run of its schedule',
    );
    if (turn.kind === 'skip') return { kind: 'skip', other };
    const ranMs = turn.since === null ? 0 : this.store.clock.now() - turn.since;
    // Asking again must not use up the fetches after which UnknownTasks gives up.
    return { kind: 'defer', ms: askAgainMs(ranMs, turn.ahead), starts: Math.max(1, job.attemptsStarted - 1) };
  }
}

/** @param ranMs negative if Redis' clock was set back */
function askAgainMs(ranMs: number, ahead: number): number {
  const ms = Math.min(ASK_AGAIN_MS.longest, Math.max(ASK_AGAIN_MS.first, ranMs));
  return Math.min(LONGEST_IN_LINE_MS, ms * Math.max(1, ahead / FRONT));
}
