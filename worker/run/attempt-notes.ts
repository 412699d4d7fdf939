import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { keepsOrder } from '../../shared/redis/connection.js';
import type { Store } from '../../shared/store.js';
import type { FleetJob } from '../fetch/fleet-job.js';
import { giveUpRun } from '../fetch/outage-report.js';

/** Records the attempts that no script of BullMQ ends. Without a record, the task goes on all the same: no call rejects. */
export class AttemptNotes {
  constructor(
    private readonly store: Pick<Store, 'redis' | 'keys' | 'queues' | 'clock'>,
    private readonly logger: Logger,
  ) {}

  /** Records an attempt whose job goes back to the queue. A single connection keeps the order, so the move may follow at once. */
  async requeued(job: FleetJob): Promise<void> {
    const noted = this.#note(job, 'requeued', job.run?.token ?? '');
    if (!keepsOrder(this.store.redis)) await noted;
  }

  /**
   * Records an attempt whose worker has lost the task's lock, unless the attempt turns out to have ended. A task whose handler was not
   * called has lost nothing: Redis' answer to the fetch came too late, or another task blocked this process.
   */
  async lockLost(job: FleetJob): Promise<void> {
    if (job.run?.called) return this.#note(job, 'lock_lost', '');
    await giveUpRun(job, this.store).catch((error: unknown) =>
      this.logger.debug(
        { id: job.id, error: messageOf(error) },
        'Could not note a lock that expired before the start; it counts as a lost worker',
      ),
    );
  }

  async #note(job: FleetJob, outcome: 'requeued' | 'lock_lost', token: string): Promise<void> {
    if (!job.run?.called) return;
    const key = this.store.keys.jobs(job.queueName) + job.id;
    const [[field, record] = ['', '']] = Object.entries(job.record(outcome));
    try {
      await this.store.redis.noteAttempt(key, `${key}:lock`, field, record, job.runNumber, token);
    } catch (error) {
      this.logger.debug({ id: job.id, error: messageOf(error) }, `Could not record an attempt as ${outcome}`);
    }
  }
}
