import type { PreparedTask } from '../../producer/enqueue/prepare.js';
import type { Attempt, AttemptOutcome } from '../../shared/attempt/attempt.js';
import { type Failure, failureOf } from '../../shared/attempt/failure.js';
import { marksIn } from '../../shared/limiter/marks.js';
import type { Pause } from '../../shared/queue/pause.js';
import type { StopRecord, StopWay } from '../../shared/stop/receipt.js';
import { dedupeKeyOf } from '../../shared/task/dedupe.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { type TaskState, isTerminal } from '../../shared/task/state.js';
import type { TaskView } from '../../shared/task/view.js';
import { pauseWaitOf, taskLimitsOf } from '../../shared/task/wait/waiting.js';

/** The worker of the attempts that a test plays. */
const WORKER = 'fake-worker';

type AttemptEnd = { -readonly [Name in keyof Attempt]: Attempt[Name] };

/** A task of a fake producer. */
export class BookTask {
  state: TaskState = 'queued';
  /** When a delay or a backoff is over, in ms since the epoch. */
  dueAt: number | null;
  readonly enqueuedAt: number;
  finishedAt: number | null = null;
  /** The result as JSON. */
  resultJson: string | null = null;
  error: string | null = null;
  progress: unknown = null;
  stop: StopRecord | null = null;
  /** The attempts, counted over all retries, up to the last one with output: the first output makes the stream. */
  announced = 0;
  /** Lines of the task's log, as stored. */
  readonly lines: string[] = [];
  /** Over all retries, oldest first. */
  readonly attempts: AttemptEnd[] = [];
  /** Attempts before the last retry: those after it count from 1. */
  #before = 0;

  constructor(
    readonly id: string,
    readonly queue: string,
    public prepared: PreparedTask,
    now: number,
  ) {
    this.enqueuedAt = now;
    this.dueAt = prepared.delay > 0 ? now + prepared.delay : null;
    if (this.dueAt !== null) this.state = 'scheduled';
  }

  get item(): string {
    return this.prepared.item;
  }

  /** The number of the current or last attempt; 0 before the first. */
  get attempt(): number {
    return this.attempts.length - this.#before;
  }

  get isLive(): boolean {
    return !isTerminal(this.state);
  }

  get isRunning(): boolean {
    return this.state === 'running' || this.state === 'stopping';
  }

  /** A task of a schedule has the definition without its schemas. */
  get definition(): PreparedTask['definition'] & Partial<AnyDefinition> {
    return this.prepared.definition;
  }

  start(now: number): void {
    this.attempts.push({
      ...{ number: this.attempt + 1, worker: { id: WORKER, host: null, pid: null }, startedAt: new Date(now) },
      ...{ endedAt: null, outcome: null, error: null, retryAt: null },
    });
    this.state = 'running';
    this.dueAt = null;
  }

  /** Ends the running attempt. */
  endAttempt(outcome: AttemptOutcome, now: number, { error, retryAt = null }: { error?: unknown; retryAt?: number | null } = {}): void {
    const attempt = this.attempts.at(-1);
    if (!attempt || attempt.endedAt !== null) return;
    const failure: Failure | null = error === undefined ? null : failureOf(error);
    Object.assign(attempt, { outcome, endedAt: new Date(now), error: failure, retryAt: retryAt === null ? null : new Date(retryAt) });
  }

  end(state: 'completed' | 'failed' | 'cancelled', now: number): void {
    this.state = state;
    this.finishedAt = now;
    this.dueAt = null;
  }

  settleStop(via: StopWay, now: number): void {
    this.stop = { reason: null, by: null, at: new Date(now), ...this.stop, via };
    if (this.isRunning) this.endAttempt('cancelled', now);
    this.end('cancelled', now);
    this.error = `Stopped${this.stop.by === null ? '' : ` by ${this.stop.by}`}${this.stop.reason === null ? '' : `: ${this.stop.reason}`}`;
  }

  /** Makes an ended task queued again. */
  retry(): void {
    Object.assign(this, { state: 'queued', finishedAt: null, error: null, stop: null, resultJson: null });
    this.#before = this.attempts.length;
  }

  view(now: number, pause: Pause | null, detail: 'summary' | 'whole'): TaskView {
    const isDue = this.dueAt !== null && this.dueAt <= now;
    const state = isDue && (this.state === 'scheduled' || this.state === 'retrying') ? 'queued' : this.state;
    const { definition, tags, priority, deadline, dedupe, steps } = this.prepared;
    const last = this.attempt > 0 ? this.attempts.at(-1) : undefined;
    const whole = detail === 'whole';
    return {
      ...{ id: this.id, name: definition.name, queue: this.queue, item: this.item || null, tags, state, priority, problem: null },
      waitingFor: pause !== null && state === 'queued' ? pauseWaitOf(this.queue, pause, null) : null,
      ...{ attempt: this.attempt, maxAttempts: definition.retry.attempts, attempts: whole ? [...this.attempts] : null },
      nextAttemptAt: this.dueAt !== null && state !== 'queued' ? new Date(this.dueAt) : null,
      progress: this.progress,
      result: whole && this.resultJson !== null ? (JSON.parse(this.resultJson) as unknown) : null,
      ...{ error: this.error, stop: this.stop, skippedFor: null },
      dedupeKey: dedupe && dedupeKeyOf(definition.name, dedupe.id),
      deadline: deadline === null ? null : new Date(deadline),
      limits: whole ? taskLimitsOf(marksIn(steps ?? [])) : null,
      ...{ enqueuedAt: new Date(this.enqueuedAt), startedAt: last?.startedAt ?? null, worker: last ? WORKER : null },
      finishedAt: this.finishedAt === null ? null : new Date(this.finishedAt),
    };
  }
}
