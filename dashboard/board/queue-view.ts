import type { AppJobScheduler, JobCounts, JobStatus, QueueAdapterOptions, QueueWorker } from '@bull-board/api/typings/app';
import type { Job } from 'bullmq';
import { isQueueKey } from '../../shared/reserved-ids.js';
import type { Store } from '../../shared/store.js';
import type { TaskView } from '../../shared/task/view.js';
import { limitIn } from '../../shared/task/wait/waiting.js';
import { readWorkers } from '../../shared/workers/heartbeats.js';
import { type Principal, hasRole } from '../auth/principal.js';
import { Failures } from './failures.js';
import { QueueLines } from './lines.js';
import { TolerantQueue } from './tolerant-queue.js';

interface QueueViewOptions {
  readonly store: Store;
  readonly principal: Principal;
  /** Where the dashboard is mounted. */
  readonly root: string;
}

/** `QueueAdapterOptions` leaves out an option that the constructor reads. */
type Options = Partial<QueueAdapterOptions> & { readonly allowCompletedRetries: boolean };

/** Stands in for a task's input, which may hold a user's words or a key. */
const HIDDEN = 'Shown to operators only';
const CANCELLED = '■ cancelled · ';
const SKIPPED = '○ skipped · ';
const STOPPING = '■ stopping · ';
const IN_LINE = '◌ in line · ';
const PAGE = 200;

/** A queue as one caller sees it on the board: made for each request, over the producer's connection. rules.ts has its writes. */
export class QueueView extends TolerantQueue {
  readonly #store: Store;
  readonly #name: string;
  readonly #seesInput: boolean;
  readonly #failures: Failures;
  readonly #lines: QueueLines;
  /** The tasks that were read for this request, by id. */
  readonly #tasks = new Map<string, TaskView>();

  constructor(name: string, { store, principal, root }: QueueViewOptions) {
    const isOperator = hasRole(principal, 'operator');
    const options: Options = {
      // Hides the writes on the page; rules.ts refuses them.
      readOnlyMode: !isOperator,
      allowCompletedRetries: false,
      externalJobUrl: ({ id, finishedOn }) => ({
        displayText: finishedOn || !isOperator ? 'Open the task page' : 'Stop on the task page',
        href: `${root}/tasks/${encodeURIComponent(String(id))}`,
      }),
    };
    super(store.queues.get(name), { unreadable: store.unreadable, start: store.keys.jobs(name), options });
    this.#store = store;
    this.#name = name;
    this.#failures = new Failures(store, name);
    this.#lines = new QueueLines(store, name);
    this.#seesInput = isOperator;
    if (!this.#seesInput) this.setFormatter('data', () => HIDDEN);
    this.setFormatter('name', ({ id, name: jobName }: { id: string; name: string }) => this.#mark(id) + jobName);
  }

  /** Returns undefined for an id that is also one of the queue's own keys: BullMQ would read that key as a job. */
  override async getJob(id: string): Promise<Job | undefined> {
    if (isQueueKey(id)) return undefined;
    await this.#readIds([id]);
    const job = this.#tasks.has(id) ? await super.getJob(id) : undefined;
    this.#show(job ? [job] : []);
    return job;
  }

  /** Does not count cancelled tasks as failed. Tasks in line count as waiting, not as delayed. */
  override async getJobCounts(): Promise<JobCounts> {
    const [counts, cancelled, inLine] = await Promise.all([super.getJobCounts(), this.#failures.countCancelled(), this.#lines.count()]);
    return {
      ...counts,
      waiting: (counts.waiting ?? 0) + inLine,
      delayed: Math.max(0, (counts.delayed ?? 0) - inLine),
      failed: Math.max(0, (counts.failed ?? 0) - cancelled),
    };
  }

  /** Returns no cancelled tasks as failed: they are among the latest. Tasks in line follow the waiting ones. */
  override async getJobs(statuses: JobStatus[], start = 0, end = -1): Promise<Job[]> {
    const last = end < 0 ? start + PAGE - 1 : Math.min(end, start + PAGE - 1);
    const jobs = await this.#jobsOf(statuses, start, last);
    await this.#readIds(jobs.map((job) => String(job.id)));
    this.#show(jobs);
    return jobs;
  }

  async #jobsOf(statuses: JobStatus[], start: number, last: number): Promise<Job[]> {
    switch (statuses.length === 1 ? statuses[0] : null) {
      case 'failed':
        return this.readJobs(await this.#failures.page(start, last));
      case 'delayed':
        return this.readJobs(await this.#lines.delayed(start, last));
      case 'waiting': {
        const [waiting, { waiting: count = 0 }] = await Promise.all([super.getJobs(statuses, start, last), super.getJobCounts()]);
        const inLine = await this.#lines.inLine(Math.max(0, start - count), last - count);
        return [...waiting, ...(await this.readJobs(inLine))];
      }
      default:
        return super.getJobs(statuses, start, last);
    }
  }

  /** Reads the workers' heartbeats: BullMQ would list all connections of Redis for each queue. */
  override async getWorkers(): Promise<QueueWorker[]> {
    const workers = await readWorkers(this.#store);
    const now = this.#store.clock.now();
    return workers.flatMap(({ id, queues, host, pid, startedAt }) => {
      if (!queues.includes(this.#name)) return [];
      return [
        {
          id,
          name: id,
          addr: `${host ?? '?'}, process ${pid ?? '?'}`,
          age: startedAt === null ? 0 : Math.round((now - startedAt) / 1_000),
        },
      ];
    });
  }

  override async getJobSchedulers(): Promise<Omit<AppJobScheduler, 'queueName'>[]> {
    const schedulers = await super.getJobSchedulers();
    if (this.#seesInput) return schedulers;
    return schedulers.map(({ template, ...rest }) => ({ ...rest, ...(template && { template: { ...template, data: HIDDEN } }) }));
  }

  async #readIds(ids: readonly string[]): Promise<void> {
    await this.#store.reader.readOn(this.#name, ids, this.#tasks);
  }

  /**
   * Drops the field that blocks retries of a cancelled job, which the page would show as a failure that is yet to come, and the delay of a
   * job in line, which stands for its wait.
   */
  #show(jobs: readonly Job[]): void {
    for (const job of jobs) {
      const task = this.#tasks.get(String(job.id));
      if (task?.state === 'cancelled') Reflect.deleteProperty(job, 'deferredFailure');
      if (task && isInLine(task)) job.delay = 0;
    }
  }

  #mark(id: string): string {
    const task = this.#tasks.get(id);
    const state = task?.state;
    if (state === 'skipped') return SKIPPED;
    if (task && isInLine(task)) return IN_LINE;
    return state === 'cancelled' ? CANCELLED : state === 'stopping' ? STOPPING : '';
  }
}

function isInLine({ waitingFor }: TaskView): boolean {
  return limitIn(waitingFor) !== null;
}
