import type { AppJobScheduler, JobStatus, QueueAdapterOptions, QueueWorker } from '@bull-board/api/typings/app';
import type { Job } from 'bullmq';
import { isQueueKey } from '../../shared/keys.js';
import { readWorkers } from '../../shared/records/heartbeats.js';
import type { Store } from '../../shared/store.js';
import type { TaskView } from '../../shared/task/view.js';
import { type Principal, hasRole } from '../auth/principal.js';
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
const STOPPING = '■ stopping · ';
const PAGE = 200;

/** A queue as one caller sees it on the board: made for each request, over the producer's connection. rules.ts has its writes. */
export class QueueView extends TolerantQueue {
  readonly #store: Store;
  readonly #name: string;
  readonly #seesInput: boolean;
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
    this.#seesInput = isOperator;
    if (!this.#seesInput) this.setFormatter('data', () => HIDDEN);
    this.setFormatter('name', ({ id, name: jobName }: { id: string; name: string }) => this.#mark(id) + jobName);
  }

  /** Returns undefined for an id that is also one of the queue's own keys: BullMQ would read that key as a job. */
  override async getJob(id: string): Promise<Job | undefined> {
    if (isQueueKey(id)) return undefined;
    await this.#readIds([id]);
    const job = this.#tasks.has(id) ? await super.getJob(id) : undefined;
    this.#hideBlock(job ? [job] : []);
    return job;
  }

  override async getJobs(statuses: JobStatus[], start = 0, end = -1): Promise<Job[]> {
    const last = end < 0 ? start + PAGE - 1 : Math.min(end, start + PAGE - 1);
    const jobs = await super.getJobs(statuses, start, last);
    await this.#readIds(jobs.map((job) => String(job.id)));
    this.#hideBlock(jobs);
    return jobs;
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

  /** Drops the field that blocks retries of a cancelled job: the page would show it as a failure that is yet to come. */
  #hideBlock(jobs: readonly Job[]): void {
    for (const job of jobs) if (this.#tasks.get(String(job.id))?.state === 'cancelled') Reflect.deleteProperty(job, 'deferredFailure');
  }

  #mark(id: string): string {
    const state = this.#tasks.get(id)?.state;
    return state === 'cancelled' ? CANCELLED : state === 'stopping' ? STOPPING : '';
  }
}
