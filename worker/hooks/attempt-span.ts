import { type AttemptOutcome, parseAttempts } from '../../shared/attempt/attempt.js';
import { isError } from '../../shared/errors.js';
import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import { isCarrier } from '../../shared/tracing/carrier.js';
import type { AttemptSpan, Telemetry } from '../../shared/tracing/telemetry.js';
import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';
import type { FleetJob } from '../fetch/fleet-job.js';
import { type Outcome, thrownBy } from '../run/outcome.js';
import type { Run } from '../run/run.js';

/** Starts the span of an attempt whose handler is about to be called; null for a maintenance task, of which each worker runs many. */
export function startSpan(telemetry: Telemetry, workerId: string, run: Run, job: FleetJob): AttemptSpan | null {
  if (run.queue === MAINTENANCE_QUEUE) return null;
  const { id, name, queue, item } = run;
  const { attempt, maxAttempts } = job;
  const metadata: unknown = job.opts.telemetry?.metadata;
  const carrier = isCarrier(metadata) ? metadata : undefined;
  const waitedMs = Math.max(0, run.startedAt - waitingSince(job));
  return telemetry.attempt({ id, name, queue, item: item || null, attempt, maxAttempts, workerId, carrier, waitedMs });
}

/** Returns when a task began to wait for this attempt, in ms by the clock of Redis: at its enqueue, its due time, or the end of an attempt. */
function waitingSince({ id, timestamp, taskOptions: { retriedAt }, history }: FleetJob): number {
  const last = parseAttempts(history.records, () => undefined)
    .at(-1)
    ?.attempt.endedAt?.getTime();
  const enqueued = isScheduledRun(id as string) ? dueTimeOf(id as string) : timestamp;
  return Math.max(enqueued, retriedAt ?? 0, last ?? 0);
}

/** Ends the span of an attempt with its outcome. */
export function endSpan(span: AttemptSpan, outcome: Outcome, timedOut: boolean): void {
  span.end(attemptOutcome(outcome, timedOut), 'error' in outcome ? thrownIn(outcome.error) : null);
}

const OUTCOMES: Readonly<Record<Outcome['kind'], AttemptOutcome>> = {
  complete: 'completed',
  skip: 'completed',
  fail: 'failed',
  cancel: 'cancelled',
  requeue: 'requeued',
  defer: 'failed',
  'line-up': 'requeued',
  'put-off': 'failed',
  drop: 'lock_lost',
};

/** Returns how an attempt ended whose handler was called. */
export function attemptOutcome({ kind }: Outcome, timedOut: boolean): AttemptOutcome {
  return timedOut ? 'timed_out' : OUTCOMES[kind];
}

/** Returns what the handler threw: the worker wraps an error that it does not retry. */
export function thrownIn(error: Error): Error {
  const thrown = thrownBy(error);
  return isError(thrown) ? thrown : error;
}

/** Reports a stopped task that this worker has settled: one that it ran, or that had been stopped before its handler was called. */
export function reportStopped(telemetry: Telemetry, { id, name, queueName: queue, run, finishedOn, history }: FleetJob): void {
  const stop = run?.stop ?? history.stop;
  if (!stop || queue === MAINTENANCE_QUEUE) return;
  const { at, reason, by, carrier } = stop;
  const since = (time: number | null | undefined): number | null => (at > 0 && time ? Math.max(0, time - at) : null);
  telemetry.stopSettled({
    ...{ id: id as string, name, queue, via: run?.via ?? 'queue', reason, by, carrier },
    attempt: run?.span ?? null,
    latencyMs: since(finishedOn),
    abortedMs: run?.span ? since(run.stopHeardAt) : null,
    byRequest: false,
  });
}
