import type { AppJobScheduler, JobStatus, QueueAdapterOptions, QueueWorker } from '@bull-board/api/typings/app';
import type { Job } from 'bullmq';
import { isQueueKey } from '../../shared/keys.js';
import { readWorkers } from '../../shared/records/workers.js';
import type { Store } from '../../shared/store.js';
import type { TaskView } from '../../shared/task/view.js';
import { type Principal, hasRole } from '../auth/principal.js';
import { TolerantQueue } from './tolerant-queue.js';

export interface QueueViewOptions {
  readonly store: Store;
  readonly principal: Principal;
  /** Where the dashboard is mounted. */
  readonly root: string;
}

/** With one that is missing in the type of the constructor. */
type Options = Partial<QueueAdapterOptions> & { readonly allowCompletedRetries: boolean };

/** What a viewer sees in place of a task's input, which may be anything: a user's words, a key. */
const HIDDEN = 'Shown to operators only';
const CANCELLED = '■ cancelled · ';
const STOPPING = '■ stopping · ';
const PAGE = 200;

/**
 * A queue as one caller sees it on the board: made for each request, over the producer's own connection. Its writes are
 * not its own: see rules.ts.
 */
export class QueueView extends TolerantQueue {
  readonly #store: Store;
  readonly #name: string;
  readonly #seesInput: boolean;
  /** By id; of the jobs that were read for this request. */
  readonly #tasks = new Map<string, TaskView>();

  constructor(name: string, { store, principal, root }: QueueViewOptions) {
    const isOperator = hasRole(principal, 'operator');
    const options: Options = {
      // The page then offers no writes. They are refused anyhow.
      readOnlyMode: !isOperator,
      allowCompletedRetries: false,
      externalJobUrl: ({ id, finishedOn }) => ({
        displayText: finishedOn || !isOperator ? 'Open its task page' : 'Stop it on its task page',
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

  /** Undefined also for an id that is one of the queue's own keys: BullMQ would read whatever is there. */
  override async getJob(id: string): Promise<Job | undefined> {
    if (isQueueKey(id)) return undefined;
    await this.#readIds([id]);
    const job = this.#tasks.has(id) ? await super.getJob(id) : undefined;
    this.#read(job ? [job] : []);
    return job;
  }

  override async getJobs(statuses: JobStatus[], start = 0, end = -1): Promise<Job[]> {
    const last = end < 0 ? start + PAGE - 1 : Math.min(end, start + PAGE - 1);
    const jobs = await super.getJobs(statuses, start, last);
    await this.#readIds(jobs.map((job) => String(job.id)));
    this.#read(jobs);
    return jobs;
  }

  /** By their heartbeats: BullMQ would ask Redis for all of its connections, for each queue. */
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

  #read(jobs: readonly Job[]): void {
    // What bars a cancelled job from coming back would be shown as a failure that is yet to come.
    for (const job of jobs) if (this.#tasks.get(String(job.id))?.state === 'cancelled') Reflect.deleteProperty(job, 'deferredFailure');
  }

  #mark(id: string): string {
    const state = this.#tasks.get(id)?.state;
    return state === 'cancelled' ? CANCELLED : state === 'stopping' ? STOPPING : '';
  }
}

/** A job's name as it is, for one that the page took from what it was shown. */
export function unmarked(name: string): string {
  return [CANCELLED, STOPPING].reduce((text, mark) => (text.startsWith(mark) ? text.slice(mark.length) : text), name);
}
