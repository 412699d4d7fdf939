import type { AttemptOutcome } from '../attempt/attempt.js';
import type { AbortCause } from '../stop/cause.js';
import type { StopReceipt, StopWay } from '../stop/receipt.js';
import type { Carrier } from './carrier.js';

/** The ids of a span for log lines, with the names that OpenTelemetry specifies for them. */
export interface TraceFields {
  readonly trace_id: string;
  readonly span_id: string;
  /** Two hexadecimal digits: `01` if the trace is sampled. */
  readonly trace_flags: string;
}

/** An enqueue of one or several tasks. */
export interface SendStart {
  /** The logical queue. */
  readonly queue: string;
  /** The name of the tasks. */
  readonly name: string;
  /** The number of tasks of a bulk enqueue; null for an enqueue of one task. */
  readonly count: number | null;
  /** The attempt that enqueues a child: the parent of the span, unless another span is active. */
  readonly parent?: Carrier | undefined;
}

/** What a span says of an added task. */
export interface SentTask {
  readonly id: string;
  readonly queue: string;
  readonly item: string | null;
  readonly duplicate: boolean;
  /** Tasks that were stopped in its favour. */
  readonly superseded?: readonly string[];
}

/** A call that stops tasks. */
export interface StopStart {
  /** Null for all tasks of an item. */
  readonly ids: readonly string[] | null;
  readonly item: string | null;
  readonly reason: string | null;
  readonly by: string | null;
}

/** An attempt whose handler is about to be called. */
export interface AttemptTrace {
  readonly id: string;
  readonly name: string;
  /** The queue, or one of its shards. */
  readonly queue: string;
  /** Null for none. */
  readonly item: string | null;
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly workerId: string;
  /** Of the enqueue; undefined if it was not traced. */
  readonly carrier: Carrier | undefined;
  /** How long the task has waited for this attempt, in ms by the clock of Redis. */
  readonly waitedMs: number;
}

/** A stop that this process has settled. */
export interface SettledStop {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly via: StopWay;
  readonly reason: string | null;
  readonly by: string | null;
  /** Of the request; undefined if it was not traced. */
  readonly carrier: Carrier | undefined;
  /** The span of the attempt that was stopped; null if no handler of this process ran. */
  readonly attempt: ActiveSpan | null;
  /** Time from the record of the stop to its settlement, and to the abort of the handler, in ms by the clock of Redis; null if unknown. */
  readonly latencyMs: number | null;
  readonly abortedMs: number | null;
  /** Whether the request itself settled it, and its span says so. */
  readonly byRequest: boolean;
}

/** A call of the HTTP API. */
export interface RequestStart {
  readonly method: string;
  /** The path with parameters in braces. */
  readonly route: string;
  /** Of the request, for `traceparent`. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** A span that has started and is not yet over. */
export interface ActiveSpan {
  /** Undefined if the span is not recorded and its context is not passed on. */
  readonly carrier: Carrier | undefined;
  /** For log lines; undefined without a trace. */
  readonly fields: TraceFields | undefined;
  /** Runs `work`, with all that it starts, in the context of the span. */
  run<Result>(work: () => Result): Result;
}

export interface AttemptSpan extends ActiveSpan {
  /** Undefined if the context of the span is not passed on. */
  readonly thread: ThreadTrace | undefined;
  /** Runs `work` in a context that came from the thread of the handler. */
  resume<Result>(carrier: Carrier, work: () => Result): Result;
  /** Notes that the signal of the handler was aborted. */
  aborted(cause: AbortCause['kind']): void;
  end(outcome: AttemptOutcome, error: Error | null): void;
}

export interface RequestSpan extends ActiveSpan {
  end(status: number, error: unknown): void;
}

/** A value to be read at each collection of metrics, with its attributes. */
export interface GaugeValue {
  readonly value: number;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Gauge {
  readonly name: string;
  readonly unit: string;
  readonly about: string;
  readonly read: () => readonly GaugeValue[] | Promise<readonly GaugeValue[]>;
}

/**
 * Traces and measures tasks. `openTelemetry()` of `taskfleet/telemetry` makes one. Producers, workers and dashboards without one make no call
 * and no object for it.
 */
export interface Telemetry {
  /** Runs an enqueue in a span. `work` gets the context to store with the jobs. */
  send<Result extends SentTask | readonly SentTask[]>(
    start: SendStart,
    work: (carrier: Carrier | undefined) => Promise<Result>,
  ): Promise<Result>;
  /** Runs a stop in a span. `work` gets the context to store with the stops. */
  stop(start: StopStart, work: (carrier: Carrier | undefined) => Promise<StopReceipt[]>): Promise<StopReceipt[]>;
  attempt(start: AttemptTrace): AttemptSpan;
  stopSettled(stop: SettledStop): void;
  request(start: RequestStart): RequestSpan;
  /** Adds gauges. Returns a function that removes them. */
  observe(gauges: readonly Gauge[]): () => void;
}

/** What the thread of an isolated handler needs to continue the trace of its attempt. */
export interface ThreadTrace {
  /** URL of a module that exports a {@link ThreadContext}, which the thread imports. */
  readonly module: string;
  readonly carrier: Carrier;
}

/** The context of an attempt inside the thread of its handler. */
export interface ThreadContext {
  /** Runs `work` in a context that came from the main thread. */
  readonly withCarrier: <Result>(carrier: Carrier, work: () => Result) => Result;
  /** Returns the active context. */
  readonly activeCarrier: () => Carrier | undefined;
}
