import type { OnBusy } from '../../producer/enqueue/when-busy.js';
import type { StopOptions } from '../../producer/stop.js';
import { isFleetError } from '../../shared/errors.js';
import { AbortCause, StopRequested } from '../../shared/stop/cause.js';
import type { Step } from '../../shared/store.js';
import type { TaskContext } from '../../shared/task/handler.js';
import type { TaskView } from '../../shared/task/view.js';
import { Reconciler } from '../../worker/builtin/reconcile/reconciler.js';
import { deferred } from '../support/deferred.js';
import { type Arena, type Director, QUEUE, SLOTS, definitions } from './arena.js';
import { type CallFact, type Manner, type PlayedWorker, type TaskFact, lifeOf } from './facts.js';
import { Gates } from './gates.js';
import { Model } from './model.js';

export type StopHow = 'announced' | 'mute' | 'bare';

export interface EnqueueChoice extends Manner {
  readonly item: string | null;
  readonly delayed: boolean;
  readonly onBusy: OnBusy | null;
}

const DELAY_MS = 600_000;

/** One run: applies the commands to a real fleet and reports the effects to the model. */
export class World implements Director {
  readonly model = new Model();
  readonly gates = new Gates();
  readonly calls: CallFact[] = [];
  #busy = 0;
  #unnamed: TaskFact | null = null;
  readonly died: PlayedWorker[] = [];

  constructor(readonly arena: Arena) {
    arena.director = this;
  }

  async step(step: Step, id: string, owner: object): Promise<void> {
    const worker = owner as Partial<PlayedWorker>;
    if (worker.dead) return deferred().promise;
    if (step === 'enqueue:checked' && this.#unnamed) {
      this.#unnamed.id = id;
      this.#unnamed = null;
    }
    if (!this.model.byId(id)) return;
    if (step === 'worker:fetched') this.model.fetched(id, owner as PlayedWorker);
    if (!worker.retiring) await this.gates.at(step, id, owner);
    // The worker may have died while held.
    if (worker.dead) await deferred().promise;
  }

  play(context: TaskContext, worker: PlayedWorker): Promise<unknown> {
    const { signal } = context;
    const { promise, resolve, reject } = deferred<unknown>();
    const end = (how: 'returns' | 'throws'): void => {
      call.ended ??= { how, abortedBy: call.abortedBy };
      this.model.note(`call ${call.n} ${how}${call.abortedBy ? ` after ${call.abortedBy}` : ''}`);
      if (how === 'returns') resolve({ call: call.n });
      else reject(new Error(`call ${call.n}`));
    };
    if (!this.model.byId(context.id)) return Promise.resolve();
    const call: CallFact = this.model.called(context, worker, end);
    this.calls.push(call);
    signal.addEventListener('abort', () => {
      call.abortedBy = (signal.reason as AbortCause).kind;
      if (worker.dead || call.ended) return;
      this.model.note(`call ${call.n} is aborted: ${call.abortedBy}`);
      if (call.task.mood === 'heeds') end('throws');
    });
    return promise;
  }

  /** Handlers still running, those of dead workers included: the process may only be frozen. */
  get open(): CallFact[] {
    return this.calls.filter(({ ended }) => ended === null);
  }

  get known(): TaskFact[] {
    return this.model.tasks.filter(({ id }) => id !== null);
  }

  enqueue({ kind, mood, item, delayed, onBusy }: EnqueueChoice): Promise<void> {
    const { producer } = this.arena;
    const task = this.model.enqueueFired({ kind, mood }, item, null);
    const supersede = onBusy === 'stop-previous' && item !== null ? this.model.itemStopFired(item) : null;
    const options = { ...(item !== null && { item }), ...(delayed && { delay: DELAY_MS }), ...(onBusy && item !== null && { onBusy }) };
    return this.#begin(async () => {
      try {
        this.#unnamed = task;
        await producer.enqueue(definitions[kind], {}, options);
        await this.#added(task, onBusy === 'reject' ? item : null);
      } catch (error) {
        if (!isFleetError(error, 'ITEM_BUSY')) throw error;
        task.refused = true;
        this.model.note(`${task.label} is refused`);
      }
      if (supersede) supersede.answeredAt = this.model.now();
    });
  }

  async #added(task: TaskFact, alone: string | null): Promise<void> {
    task.addedAt = this.model.now();
    this.model.note(`${task.label} is added`);
    if (alone === null) return;
    const others = this.model.tasks.filter(
      (other) =>
        other !== task &&
        other.item === alone &&
        other.addedAt !== null &&
        lifeOf(other).bornAt < task.firedAt &&
        other.addedAt < task.firedAt,
    );
    const views = await this.#read(others);
    const live = others.filter(({ id }) => !['completed', 'failed', 'cancelled'].includes(views.get(id as string)?.state ?? ''));
    if (live.length > 0) this.model.violated(`${task.label} was added while ${live.map(({ label }) => label).join()} was live on its item`);
  }

  enqueueChild(call: CallFact, { kind, mood, delayed }: Omit<EnqueueChoice, 'item' | 'onBusy'>): Promise<void> {
    const task = this.model.enqueueFired({ kind, mood }, call.context.item, call);
    return this.#begin(async () => {
      try {
        this.#unnamed = task;
        await call.context.enqueue(definitions[kind], {}, delayed ? { delay: DELAY_MS } : {});
        await this.#added(task, null);
      } catch (error) {
        if (!(error instanceof AbortCause)) throw error;
        this.model.note(`${task.label} meets the stop of its parent`);
        if (error instanceof StopRequested && !call.abortedBy) task.addedAt = this.model.now();
      }
      if (this.#unnamed === task) this.#unnamed = null;
    });
  }

  stop(task: TaskFact, how: StopHow, options: StopOptions = {}): Promise<void> {
    const { model, arena } = this;
    const id = task.id as string;
    const life = lifeOf(task);
    const stop = model.stopFired(task, how);
    if (how === 'bare')
      return this.#begin(() => arena.fleet.client.publish(arena.store.keys.commands, JSON.stringify({ action: 'stop', task_id: id })));
    const producer = how === 'mute' ? arena.mute : arena.producer;
    const answer = this.#begin(async () => {
      const orphan = await this.isOrphan(id);
      const receipt = await producer.stop(id, options);
      const view = (await this.#read([task])).get(id) ?? null;
      // Another process may have settled it in between.
      if (orphan && receipt.outcome === 'requested' && view?.state !== 'cancelled')
        model.violated(`${task.label} had no owner, but its stop did not settle it`);
      model.stopAnswered(task, life, stop, receipt, view);
    });
    return options.waitMs ? Promise.resolve() : answer;
  }

  stopItem(item: string): Promise<void> {
    const { model, arena } = this;
    const all = model.itemStopFired(item);
    const named = this.known.filter((task) => task.item === item && task.addedAt !== null && lifeOf(task).end === null);
    const stops = named.map((task) => ({ task, life: lifeOf(task), stop: model.stopFired(task, 'item') }));
    return this.#begin(async () => {
      const receipts = await arena.producer.stopItem(item);
      all.answeredAt = model.now();
      const views = await this.#read(this.known);
      for (const { task, life, stop } of stops) {
        const receipt = receipts.find(({ id }) => id === task.id);
        const view = views.get(task.id as string) ?? null;
        if (receipt) model.stopAnswered(task, life, stop, receipt, view);
        else if (!['completed', 'failed', 'cancelled'].includes(view?.state ?? '') && lifeOf(task) === life)
          model.violated(`the stop of the item missed ${task.label}`);
        else stop.answered = true;
      }
    });
  }

  retry(task: TaskFact): Promise<void> {
    const ended = lifeOf(task).end?.state;
    this.model.retryFired(task);
    // Not held at any step: later observations belong to the new life.
    return new Promise((resolve) => {
      void this.#begin(async () => {
        await this.arena.producer.retry(task.id as string).finally(resolve);
        this.model.note(`${task.label}, ${ended}, is retried`);
      });
    });
  }

  /** Kills a worker. `trace`: what other processes see: expired locks, an expired heartbeat, or both. */
  async crash(worker: PlayedWorker, trace: 'lock' | 'beat' | 'both'): Promise<void> {
    const { client } = this.arena.fleet;
    const { keys } = this.arena.store;
    worker.dead = true;
    this.died.push(worker);
    this.gates.forget(worker);
    await client.acl('DELUSER', worker.user);
    if (trace !== 'beat') await this.expireLocks(worker);
    if (trace !== 'lock') await client.del(keys.worker(worker.id));
    this.model.note(`${worker.name} dies`);
    void this.arena.retire(worker);
    await this.arena.startWorker();
  }

  /** Expires the locks of a dead worker: those of its running tasks and, with `settling`, of tasks it was settling. */
  async expireLocks(worker: PlayedWorker, { settling = false } = {}): Promise<void> {
    const { client } = this.arena.fleet;
    const jobs = this.arena.store.keys.jobs(QUEUE);
    for (const id of await client.lrange(`${jobs}active`, 0, -1)) {
      const [owner, lock] = await Promise.all([client.hget(jobs + id, 'pb'), client.get(`${jobs}${id}:lock`)]);
      const settled = lock?.startsWith('stop:') ?? false;
      if (settled ? settling : owner === worker.id) await client.del(`${jobs}${id}:lock`);
    }
  }

  async requeue(worker: PlayedWorker): Promise<void> {
    worker.retiring = true;
    await this.arena.startWorker();
    this.gates.releaseAllOf(worker);
    this.model.note(`${worker.name} hands back`);
    await this.arena.retire(worker);
    worker.dead = true;
  }

  /** Checks twice, as BullMQ requires: a job without a lock at the second check goes back to the queue. */
  async findStalled(): Promise<void> {
    for (let look = 0; look < 2; look += 1) {
      await this.arena.store.redis.del(`${this.arena.store.keys.jobs(QUEUE)}stalled-check`);
      await this.arena.stalls.getBackend().moveStalledJobsToWait();
    }
  }

  /** Reads every task and checks it against the model. */
  async observe(): Promise<Map<string, TaskView>> {
    const tasks = this.known.filter(({ addedAt }) => addedAt !== null);
    const views = await this.#read(tasks);
    for (const task of tasks) this.model.observed(task, views.get(task.id as string) ?? null);
    return views;
  }

  async #read(tasks: readonly TaskFact[]): Promise<Map<string, TaskView>> {
    return this.arena.store.reader.read(
      tasks.flatMap(({ id }) => (id === null ? [] : [id])),
      'whole',
    );
  }

  /** Returns the number of free slots of the workers. */
  get freeSlots(): number {
    const taken = (worker: PlayedWorker): number => worker.launcher.status().running.length + this.gates.heldAt('worker:fetched', worker);
    return this.arena.alive.reduce((sum, worker) => sum + Math.max(0, SLOTS - taken(worker)), 0);
  }

  #begin(work: () => Promise<unknown>): Promise<void> {
    this.#busy += 1;
    return this.gates.doneOrHeld(() =>
      work()
        .catch((error: unknown) => this.model.violated(`a call was rejected: ${String(error)}`))
        .finally(() => (this.#busy -= 1)),
    );
  }

  /** Returns whether a task is active without a lock, so without an owner. */
  async isOrphan(id: string): Promise<boolean> {
    const { client } = this.arena.fleet;
    const jobs = this.arena.store.keys.jobs(QUEUE);
    const [place, lock] = await Promise.all([client.lpos(`${jobs}active`, id), client.exists(`${jobs}${id}:lock`)]);
    return place !== null && lock === 0;
  }

  /** Removes the lock of a running task without its worker knowing. */
  async loseLock({ task }: CallFact): Promise<void> {
    const { client } = this.arena.fleet;
    const lock = `${this.arena.store.keys.jobs(QUEUE)}${task.id}:lock`;
    // The lock of a stop does not belong to the worker.
    if ((await client.get(lock))?.startsWith('stop:')) return;
    this.model.note(`${task.label} loses its lock`);
    await client.del(lock);
  }

  /** Disconnects the workers' subscribers; messages are lost until they reconnect. */
  async deafen(): Promise<void> {
    await this.arena.fleet.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  }

  async wake(): Promise<void> {
    await this.arena.store.queues.get(QUEUE).promoteJobs();
  }

  async reconcile(graceMs: number): Promise<void> {
    const { store } = this.arena;
    const reconciler = new Reconciler({ store, graceMs, logger: this.arena.logger });
    while (!(await reconciler.run()).complete);
  }

  /** Returns everything in Redis about a task, for a failure report. */
  async describe(id: string): Promise<string> {
    const { client } = this.arena.fleet;
    const jobs = this.arena.store.keys.jobs(QUEUE);
    const [job, lock, place] = await Promise.all([
      client.hgetall(jobs + id),
      client.get(`${jobs}${id}:lock`),
      client.lpos(`${jobs}active`, id),
    ]);
    const workers = this.arena.workers.map(
      ({ id: worker, name, launcher }) => `${name}: ${worker} ${JSON.stringify(launcher.status().running)}`,
    );
    return JSON.stringify({ id, job, lock, active: place !== null, workers }, null, 1);
  }

  /** Returns whether a call is pending. */
  get busy(): boolean {
    return this.#busy > 0;
  }
}
