import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import type { AppJobScheduler, JobCounts, JobStatus, QueueAdapterOptions } from '@bull-board/api/typings/app';
import { Job, type JobState, type Queue } from 'bullmq';
import { messageOf } from '../../shared/errors.js';
import type { RecordReporter } from '../../shared/records/unreadable.js';
import { isWrongType } from '../../shared/redis/reply-errors.js';

interface TolerantQueueOptions {
  readonly unreadable: RecordReporter;
  /** Prefix of the queue's keys. */
  readonly start: string;
  readonly options: Partial<QueueAdapterOptions>;
}

/** Stands in for the name of a job that cannot be read. */
const UNREADABLE = '✕ cannot be read';

/**
 * A queue whose bad records do not break Bull Board's pages. A job that BullMQ cannot read is shown with its id and the problem, and a
 * list of another type is shown as empty. Otherwise one such record would fail the pages of all queues.
 */
export class TolerantQueue extends BullMQAdapter {
  readonly #queue: Queue;
  readonly #unreadable: RecordReporter;
  readonly #start: string;

  constructor(queue: Queue, { unreadable, start, options }: TolerantQueueOptions) {
    super(queue, options);
    this.#queue = queue;
    this.#unreadable = unreadable;
    this.#start = start;
  }

  override getJob(id: string): Promise<Job | undefined> {
    return this.#readJob(id);
  }

  async #readJob(id: string): Promise<Job | undefined> {
    try {
      const job = await this.#queue.getJob(id);
      if (!job) return undefined;
      // The page of a job asks for its state. A list of its queue may be of another type.
      const getState = job.getState.bind(job);
      job.getState = () => getState().catch((error: unknown) => (isWrongType(error) ? 'unknown' : Promise.reject(error as Error)));
      return job;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const problem = isWrongType(error) ? 'expected a hash, found a key of another type' : messageOf(error);
      this.#unreadable.report({ key: this.#start + id, problem });
      return new Job(this.#queue, UNREADABLE, { problem }, {}, id);
    }
  }

  override async getJobs(statuses: JobStatus[], start = 0, end = -1): Promise<Job[]> {
    const ids = await Promise.all(
      statuses.map((status) => this.#read(status, this.#queue.getRanges([status as JobState], start, end), [])),
    );
    return this.readJobs(ids.flat());
  }

  protected async readJobs(ids: readonly string[]): Promise<Job[]> {
    const jobs = await Promise.all([...new Set(ids)].map((id) => this.#readJob(id)));
    return jobs.filter((job) => job !== undefined);
  }

  override async getJobCounts(): Promise<JobCounts> {
    const counts = this.getJobStatuses().map(async (status) => [
      status,
      (await this.#read(status, this.#queue.getJobCounts(status as JobState), {}))[status] ?? 0,
    ]);
    return Object.fromEntries(await Promise.all(counts)) as JobCounts;
  }

  override isPaused(): Promise<boolean> {
    return this.#read('meta', this.#queue.isPaused(), false);
  }

  override async getGlobalConcurrency(): Promise<number | null> {
    return this.#read('meta', this.#queue.getGlobalConcurrency(), null);
  }

  override getJobSchedulersCount(): Promise<number> {
    return this.#read('repeat', super.getJobSchedulersCount(), 0);
  }

  /** Returns no schedules if BullMQ cannot read one of them, or its next job. */
  override async getJobSchedulers(): Promise<Omit<AppJobScheduler, 'queueName'>[]> {
    try {
      return await super.getJobSchedulers();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#unreadable.report({ key: `${this.#start}repeat`, problem: messageOf(error) });
      return [];
    }
  }

  #read<T>(name: string, reading: Promise<T>, fallback: T): Promise<T> {
    return this.#unreadable.read(
      this.#start + (name === 'waiting' ? 'wait' : name),
      SORTED.has(name) ? 'sorted set' : name === 'meta' ? 'hash' : 'list',
      reading,
      fallback,
    );
  }
}

/** Whether a record, not Redis, is the problem: its text is no JSON, its JSON is of another shape, or its key is of another type. */
function isUnreadable(error: unknown): boolean {
  return error instanceof SyntaxError || error instanceof TypeError || isWrongType(error);
}

const SORTED: ReadonlySet<string> = new Set(['completed', 'failed', 'delayed', 'prioritized', 'waiting-children', 'repeat']);
