import type { StopReceipt } from '../../shared/stop/receipt.js';
import type { TaskContext } from '../../shared/task/handler.js';
import { isTerminal } from '../../shared/task/state.js';
import type { TaskView } from '../../shared/task/view.js';
import {
  ATTEMPTS,
  type CallFact,
  type Instant,
  type ItemStop,
  type Life,
  type Manner,
  type PlayedWorker,
  type StopFact,
  type TaskFact,
  lifeOf,
} from './facts.js';

/**
 * The record of a run and its invariants. The model predicts no states, since commands overlap the workers' actions in any order. It
 * checks every observation against all earlier events.
 */
export class Model {
  readonly tasks: TaskFact[] = [];
  readonly itemStops: ItemStop[] = [];
  readonly log: string[] = [];
  readonly #violations: string[] = [];
  #clock: Instant = 0;
  #calls = 0;

  now(): Instant {
    return (this.#clock += 1);
  }

  note(text: string): void {
    this.log.push(text);
  }

  violated(text: string): void {
    this.note(`VIOLATED: ${text}`);
    this.#violations.push(text);
  }

  /** @throws if an invariant was violated */
  check(): void {
    if (this.#violations.length > 0) throw new Error(`${this.#violations.join('\n')}\n\nWhat happened:\n  ${this.log.join('\n  ')}`);
  }

  byId(id: string): TaskFact | undefined {
    return this.tasks.find((task) => task.id === id);
  }

  enqueueFired(manner: Manner, item: string | null, parent: CallFact | null): TaskFact {
    const now = this.now();
    const life: Life = { bornAt: now, stops: [], stray: [], calls: [], end: null };
    const of = parent && { task: parent.task, life: parent.life };
    const task: TaskFact = {
      ...manner,
      label: `t${this.tasks.length}`,
      item,
      parent: of,
      firedAt: now,
      id: null,
      addedAt: null,
      refused: false,
      lives: [life],
      fetches: [],
    };
    this.tasks.push(task);
    return task;
  }

  fetched(id: string, worker: PlayedWorker): void {
    this.byId(id)?.fetches.push({ at: this.now(), worker });
  }

  called(context: TaskContext, worker: PlayedWorker, end: CallFact['end']): CallFact {
    const task = this.byId(context.id) as TaskFact;
    const life = lifeOf(task);
    const call: CallFact = { n: (this.#calls += 1), task, life, worker, context, abortedBy: null, ended: null, end };
    const fetchedAt = task.fetches.findLast((fetch) => fetch.worker === worker)?.at ?? 0;
    this.note(`call ${call.n} of ${task.label} on ${worker.name} (attempt ${context.attempt})`);
    if (life.end) this.violated(`${task.label} was called after it had ended as ${life.end.state}`);
    // A worker that had fetched it before the acknowledgement may still start it; no later fetch may.
    const stop = life.stops.find(
      ({ holds, ackedAt, firedAt }) => holds && ackedAt !== null && ackedAt < fetchedAt && task.addedAt !== null && task.addedAt < firedAt,
    );
    if (stop) this.violated(`${task.label} was picked up and called after its stop (${stop.how}) was acknowledged`);
    life.calls.push(call);
    return call;
  }

  stopFired(task: TaskFact, how: string): StopFact {
    const stop: StopFact = { how, firedAt: this.now(), answered: false, ackedAt: null, holds: false };
    lifeOf(task).stops.push(stop);
    return stop;
  }

  /** `view` was read right after the answer. `life` is the life of the task at the request. */
  stopAnswered(task: TaskFact, life: Life, stop: StopFact, receipt: StopReceipt, view: TaskView | null): void {
    const { label } = task;
    const { outcome, endedAs } = receipt;
    stop.answered = true;
    stop.holds = outcome === 'cancelled' || outcome === 'requested';
    this.note(`stop of ${label} (${stop.how}): ${outcome}${receipt.via ? ` via ${receipt.via}` : ''}; it is ${view?.state ?? 'not there'}`);
    if (lifeOf(task) !== life) return;
    if (outcome === 'cancelled' && view?.state !== 'cancelled')
      this.violated(`the receipt said that ${label} is cancelled, but it was ${view?.state}`);
    if (outcome === 'finished' && view?.state !== endedAs)
      this.violated(`the receipt said that ${label} ended as ${endedAs}, but it was ${view?.state}`);
    if (outcome === 'not_found' && task.addedAt !== null && task.addedAt < stop.firedAt)
      this.violated(`the stop of ${label} did not find it`);
    if (outcome === 'requested' && view?.state === 'failed') this.violated(`the stop of ${label} was recorded, but it failed`);
  }

  itemStopFired(item: string): ItemStop {
    const stop: ItemStop = { item, firedAt: this.now(), answeredAt: null };
    this.itemStops.push(stop);
    return stop;
  }

  retryFired(task: TaskFact): void {
    const before = lifeOf(task);
    // A bare command has no answer: it may take effect at any time.
    const stray = [...before.stray.filter(({ answered }) => !answered), ...before.stops.filter(({ answered }) => !answered)];
    task.lives.push({ bornAt: this.now(), stops: [], stray, calls: [], end: null });
  }

  /** Marks all answers so far as known. */
  acknowledge(): void {
    const now = this.now();
    for (const task of this.tasks) for (const stop of lifeOf(task).stops) if (stop.answered) stop.ackedAt ??= now;
  }

  observed(task: TaskFact, view: TaskView | null): void {
    const life = lifeOf(task);
    if (!view) {
      if (task.addedAt !== null && !task.refused) this.violated(`${task.label} is gone`);
      return;
    }
    const at = view.finishedAt?.getTime() ?? 0;
    if (!isTerminal(view.state)) {
      if (life.end) this.violated(`${task.label} had ended as ${life.end.state}, and is ${view.state} again`);
    } else if (life.end === null) {
      life.end = { state: view.state, at };
      this.note(`${task.label} is ${view.state}`);
      this.#checkEnd(task, life, view);
    } else if (life.end.state !== view.state || life.end.at !== at) {
      this.violated(`${task.label} had ended as ${life.end.state}, and now is ${view.state}`);
    }
  }

  #checkEnd(task: TaskFact, life: Life, view: TaskView): void {
    const { label, kind } = task;
    const heeded = (abortedBy: string | null): boolean => abortedBy === 'stop' || abortedBy === 'lock-lost';
    if (view.state === 'completed') {
      const call = life.calls.find(({ n }) => n === (view.result as { call?: number } | null)?.call);
      if (call?.ended?.how !== 'returns' || heeded(call.ended.abortedBy))
        this.violated(`${label} completed, but not by a handler that returned in time`);
      if (call?.worker.dead) this.note(`${label} completed on ${call.worker.name} before that died`);
    } else if (view.state === 'failed') {
      const failed = life.calls.filter(({ ended }) => ended?.how === 'throws' && !heeded(ended.abortedBy)).length;
      if (failed < ATTEMPTS[kind]) this.violated(`${label} failed after ${failed} of ${ATTEMPTS[kind]} attempts: ${view.error}`);
      if (life.stops.some(({ holds, ackedAt }) => holds && ackedAt !== null))
        this.violated(`${label} failed although its stop was acknowledged`);
    } else if (!this.#mayBeStopped(task, life)) {
      this.violated(`${label} was cancelled without a stop`);
    }
  }

  #mayBeStopped({ item, parent }: TaskFact, life: Life): boolean {
    if (life.stops.length > 0 || life.stray.length > 0) return true;
    if (item !== null && this.itemStops.some((stop) => stop.item === item && (stop.answeredAt === null || stop.answeredAt >= life.bornAt)))
      return true;
    // The stop of a parent applies to its children, later ones included.
    return parent !== null && parent.task.lives.some((of) => this.#mayBeStopped(parent.task, of));
  }

  /** Returns whether the stop of this task or of its parent was acknowledged. */
  isStopped({ lives, parent, addedAt }: TaskFact): boolean {
    const life = lives.at(-1) as Life;
    const own = life.stops.some(({ holds, ackedAt }) => holds && ackedAt !== null);
    if (own || lives.length > 1 || parent === null) return own;
    // A retry clears the stop of a parent.
    const forgot = parent.task.lives.find(({ bornAt }) => bornAt > parent.life.bornAt);
    if (forgot && (addedAt === null || addedAt > forgot.bornAt)) return false;
    return parent.life.stops.some(({ holds, ackedAt }) => holds && ackedAt !== null);
  }
}
