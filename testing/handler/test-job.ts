import type { PreparedTask } from '../../producer/enqueue/prepare.js';
import { delayOf } from '../../shared/attempt/retry-after.js';
import { FleetError, isError } from '../../shared/errors.js';
import { TimedOut } from '../../shared/stop/cause.js';
import type { TaskHandler } from '../../shared/task/handler.js';
import { type TaskJobOptions, jobOptions } from '../../shared/task/job-options.js';
import { decodeOutput } from '../../shared/task/payload/payload.js';
import { type TerminalState, isTerminal } from '../../shared/task/state.js';
import type { FinishedJob } from '../../worker/hooks/hook-caller.js';
import type { CalledJob } from '../../worker/run/handler-call.js';
import { type Outcome, delayAfter, mayRetry, thrownBy } from '../../worker/run/outcome.js';
import type { Run } from '../../worker/run/run.js';
import type { HandlerRun } from './handler-run.js';
import type { RunHandlerOptions } from './options.js';

/** The job of a run without Redis. */
export class TestJob implements CalledJob, FinishedJob {
  readonly data: unknown;
  readonly id: string;
  readonly name: string;
  readonly queueName: string;
  readonly taskOptions: TaskJobOptions;
  readonly attempt: number;
  readonly losses: number;
  readonly maxAttempts: number;
  readonly stoppedBefore = false;
  readonly timestamp = Date.now();
  resultJson: string | null = null;
  attemptsMade: number;

  constructor(
    readonly handler: TaskHandler,
    { item, tags, data }: PreparedTask,
    readonly run: Run,
    { attempt = 1, losses = 0 }: RunHandlerOptions,
  ) {
    this.data = JSON.parse(data) as unknown;
    this.id = run.id;
    this.name = run.name;
    this.queueName = run.queue;
    this.taskOptions = { item, ...(tags.length > 0 && { tags }) };
    this.attempt = attempt;
    this.losses = losses;
    this.maxAttempts = handler.definition.retry.attempts + losses;
    this.attemptsMade = attempt - 1 - losses;
  }

  get finishedOn(): number {
    return Date.now();
  }

  /** Counts the attempt of a task that has ended. */
  isFinished(end: HandlerEnd): end is HandlerEnd & { readonly state: TerminalState } {
    if (!isTerminal(end.state)) return false;
    this.attemptsMade += 1;
    return true;
  }
}

type HandlerEnd = Pick<HandlerRun, 'outcome' | 'state' | 'result' | 'error' | 'willRetry' | 'retryInMs'>;

const OVER = { result: null, error: null, willRetry: false, retryInMs: null } as const;

/** Returns what a worker would write at the end of an attempt. */
export function endOf(outcome: Outcome, job: TestJob): HandlerEnd {
  switch (outcome.kind) {
    case 'complete':
      return { ...OVER, outcome: 'completed', state: 'completed', result: resultOf(job) };
    case 'cancel':
      return { ...OVER, outcome: 'cancelled', state: 'cancelled' };
    case 'requeue':
      return { ...OVER, outcome: 'requeued', state: 'queued', willRetry: true, retryInMs: 0 };
    case 'put-off':
      return { ...failed(outcome.error), state: 'retrying', willRetry: true, retryInMs: delayOf(outcome.asked, Date.now()) };
    case 'fail':
      return { ...failed(outcome.error), ...afterFailure(outcome.error, job) };
    case 'drop':
      return { ...OVER, outcome: 'worker_lost', ...afterLoss(job) };
    default:
      throw new Error(`A handler that was called ended as ${outcome.kind}`);
  }
}

/** Returns the result as a reader gets it. */
function resultOf({ name, resultJson, handler }: TestJob): unknown {
  const stored: unknown = JSON.parse(resultJson ?? 'null');
  const { output } = handler.definition;
  return output === null ? stored : decodeOutput('output', name, output, stored);
}

function failed(error: Error): Pick<HandlerEnd, 'outcome' | 'result' | 'error'> {
  const thrown = thrownBy(error);
  return { outcome: thrown instanceof TimedOut ? 'timed_out' : 'failed', result: null, error: isError(thrown) ? thrown : error };
}

function afterFailure(
  error: Error,
  { attemptsMade, handler: { definition } }: TestJob,
): Pick<HandlerEnd, 'state' | 'willRetry' | 'retryInMs'> {
  const made = attemptsMade + 1;
  if (!mayRetry(error, made, definition.retry.attempts)) return { state: 'failed', willRetry: false, retryInMs: null };
  return { state: 'retrying', willRetry: true, retryInMs: delayAfter(error, jobOptions(definition).backoff, made, Date.now()) };
}

/** A task whose worker was lost runs again on another one, unless that happened too often. */
function afterLoss({ name, losses, handler: { definition } }: TestJob): Pick<HandlerEnd, 'state' | 'error' | 'willRetry' | 'retryInMs'> {
  const { retries } = definition.onWorkerLost;
  if (losses < retries) return { state: 'queued', error: null, willRetry: true, retryInMs: 0 };
  const error = new FleetError('WORKER_LOST', `The worker of ${name} was lost ${losses + 1} times; onWorkerLost.retries is ${retries}.`);
  return { state: 'failed', error, willRetry: false, retryInMs: null };
}
