import {
  type Attributes,
  type Context,
  type Span,
  SpanStatusCode,
  context as contexts,
  isSpanContextValid,
  trace,
} from '@opentelemetry/api';
import type { AttemptOutcome } from '../shared/attempt/attempt.js';
import { packageFile } from '../shared/package/package-file.js';
import type { AbortCause } from '../shared/stop/cause.js';
import type { Carrier } from '../shared/tracing/carrier.js';
import type { ActiveSpan, AttemptSpan, RequestSpan, ThreadTrace, TraceFields } from '../shared/tracing/telemetry.js';
import type { Instruments } from './metrics.js';
import { NAMES, errorType, seriesErrorType } from './names.js';
import { type Propagation, carrierOf, contextOf, flagsOf } from './propagation.js';

/** Returns the ids of a context's span; undefined if it has none. */
export function fieldsOf(context: Context): TraceFields | undefined {
  const span = trace.getSpanContext(context);
  if (!span || !isSpanContextValid(span)) return undefined;
  return { trace_id: span.traceId, span_id: span.spanId, trace_flags: flagsOf(span) };
}

/** Marks a span as failed. */
export function fail(span: Span, error: unknown): void {
  const exception = error instanceof Error ? error : String(error);
  span.recordException(exception);
  span.setAttribute(NAMES.errorType, errorType(error));
  span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
}

/** A span with the context in which its work runs. */
class RunningSpan implements ActiveSpan {
  readonly context: Context;
  readonly #propagation: Propagation | undefined;
  #carrier: Carrier | undefined | null = null;
  #fields: TraceFields | undefined | null = null;

  /** @param outside the context that the span adds itself to */
  constructor(
    protected readonly span: Span,
    outside: Context,
    propagation: Propagation | undefined,
  ) {
    this.context = trace.setSpan(outside, span);
    this.#propagation = propagation;
  }

  get carrier(): Carrier | undefined {
    if (this.#carrier === null) this.#carrier = carrierOf(this.context, this.#propagation);
    return this.#carrier;
  }

  get fields(): TraceFields | undefined {
    if (this.#fields === null) this.#fields = fieldsOf(this.context);
    return this.#fields;
  }

  run<Result>(work: () => Result): Result {
    return contexts.with(this.context, work);
  }
}

/** Outcomes that are no fault: a stop was asked for, and a shutdown hands the task on. */
const FINE: ReadonlySet<AttemptOutcome> = new Set(['completed', 'cancelled', 'requeued']);

interface ProcessSpanOptions {
  readonly propagation: Propagation | undefined;
  readonly instruments: Instruments;
  /** Of the metrics. */
  readonly attributes: Attributes;
}

/** The span of an attempt. */
export class ProcessSpan extends RunningSpan implements AttemptSpan {
  readonly #startedAt = performance.now();

  constructor(
    span: Span,
    outside: Context,
    private readonly options: ProcessSpanOptions,
  ) {
    super(span, outside, options.propagation);
  }

  get thread(): ThreadTrace | undefined {
    const { carrier } = this;
    return carrier === undefined ? undefined : { module: packageFile('telemetry/thread').href, carrier };
  }

  resume<Result>(carrier: Carrier, work: () => Result): Result {
    return contexts.with(contextOf(carrier, this.options.propagation), work);
  }

  aborted(cause: AbortCause['kind']): void {
    this.span.addEvent('taskfleet.aborted', { [NAMES.cause]: cause });
  }

  end(outcome: AttemptOutcome, error: Error | null): void {
    const { span } = this;
    span.setAttribute(NAMES.outcome, outcome);
    const isFine = FINE.has(outcome);
    const failure = error && outcome === 'failed' ? error : null;
    if (!isFine) {
      if (error) fail(span, error);
      else span.setStatus({ code: SpanStatusCode.ERROR });
      span.setAttribute(NAMES.errorType, failure ? errorType(failure) : outcome);
    }
    span.end();
    const { instruments, attributes } = this.options;
    instruments.processed(performance.now() - this.#startedAt, {
      ...attributes,
      [NAMES.outcome]: outcome,
      ...(!isFine && { [NAMES.errorType]: failure ? seriesErrorType(failure) : outcome }),
    });
  }
}

/** From this status on, a response says that the server failed. */
const SERVER_ERROR = 500;

export class ServerSpan extends RunningSpan implements RequestSpan {
  end(status: number, error: unknown): void {
    const { span } = this;
    span.setAttribute('http.response.status_code', status);
    if (error !== undefined && error !== null) span.setAttribute(NAMES.errorType, errorType(error));
    if (status >= SERVER_ERROR) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }
}

/** The context of a request whose span another instrumentation has made, or that needs none. */
export class BorrowedSpan implements RequestSpan {
  readonly carrier = undefined;

  constructor(private readonly context: Context) {}

  get fields(): TraceFields | undefined {
    return fieldsOf(this.context);
  }

  run<Result>(work: () => Result): Result {
    return contexts.with(this.context, work);
  }

  end(): void {
    // The span belongs to its maker.
  }
}
