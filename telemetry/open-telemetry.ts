import {
  type MeterProvider,
  SpanKind,
  type TextMapPropagator,
  type TracerProvider,
  context as contexts,
  metrics,
  trace,
} from '@opentelemetry/api';
import { FleetError } from '../shared/errors.js';
import { packageVersion } from '../shared/package/version.js';
import type { StopReceipt } from '../shared/stop/receipt.js';
import type { Carrier } from '../shared/tracing/carrier.js';
import type {
  AttemptSpan,
  AttemptTrace,
  Gauge,
  RequestSpan,
  RequestStart,
  SendStart,
  SentTask,
  SettledStop,
  StopStart,
  Telemetry,
} from '../shared/tracing/telemetry.js';
import { Calls } from './calls.js';
import { Instruments } from './metrics.js';
import { Processing } from './processing.js';
import { contextOfFields } from './propagation.js';
import { BorrowedSpan, ServerSpan } from './spans.js';
import type { Tracing } from './tracing.js';

export interface OpenTelemetryOptions {
  /** Default: the global one, which an SDK registers. */
  readonly tracerProvider?: TracerProvider;
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider;
  /** Writes and reads the context that travels with a task. Default: the global one, or W3C's `traceparent` if none is registered. */
  readonly propagator?: TextMapPropagator;
  /**
   * How an attempt refers to the enqueue of its task, and the end of a stopped task to the stop. `link`: the attempt begins a trace of its
   * own, with a link to the enqueue; a trace then lasts as long as its attempt, however long the task waits or is retried. `parent`: the
   * attempt is a child of the enqueue, in one trace. Default `link`.
   */
  readonly propagation?: 'link' | 'parent';
}

/**
 * Makes telemetry for `createProducer`, `createWorker` and `createDashboard`, which reports spans and metrics to OpenTelemetry. It needs an
 * SDK that the program has started: without one it reports nothing.
 * @throws FleetError `INVALID_SETTINGS`
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): Telemetry {
  const { propagation = 'link' } = options;
  if (propagation !== 'link' && propagation !== 'parent')
    throw new FleetError('INVALID_SETTINGS', `openTelemetry: expected propagation 'link' or 'parent', got ${String(propagation)}.`);
  return new OpenTelemetry(options);
}

/** The name of the instrumentation scope. */
const SCOPE = 'taskfleet';

class OpenTelemetry implements Telemetry {
  readonly #tracing: Tracing;
  readonly #calls: Calls;
  readonly #processing: Processing;

  constructor({ tracerProvider, meterProvider, propagator, propagation }: OpenTelemetryOptions) {
    const version = packageVersion();
    this.#tracing = {
      tracer: (tracerProvider ?? trace).getTracer(SCOPE, version),
      instruments: new Instruments((meterProvider ?? metrics).getMeter(SCOPE, version)),
      propagation: propagator,
      isParent: propagation === 'parent',
    };
    this.#calls = new Calls(this.#tracing);
    this.#processing = new Processing(this.#tracing);
  }

  send<Result extends SentTask | readonly SentTask[]>(
    start: SendStart,
    work: (carrier: Carrier | undefined) => Promise<Result>,
  ): Promise<Result> {
    return this.#calls.send(start, work);
  }

  stop(start: StopStart, work: (carrier: Carrier | undefined) => Promise<StopReceipt[]>): Promise<StopReceipt[]> {
    return this.#calls.stop(start, work);
  }

  attempt(start: AttemptTrace): AttemptSpan {
    return this.#processing.attempt(start);
  }

  stopSettled(stop: SettledStop): void {
    this.#processing.stopSettled(stop);
  }

  request({ method, route, headers }: RequestStart): RequestSpan {
    const { tracer, propagation } = this.#tracing;
    const active = contexts.active();
    // An instrumentation of the HTTP server has made a span.
    if (trace.getSpan(active)) return new BorrowedSpan(active);
    const remote = contextOfFields(headers, propagation);
    if (method === 'GET' || method === 'HEAD') return new BorrowedSpan(remote);
    const attributes = { 'http.request.method': method, 'http.route': route };
    const span = tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes }, remote);
    return new ServerSpan(span, remote, propagation);
  }

  observe(gauges: readonly Gauge[]): () => void {
    return this.#tracing.instruments.observe(gauges);
  }
}
