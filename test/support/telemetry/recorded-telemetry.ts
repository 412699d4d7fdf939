import { type Attributes, type SpanContext, context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { type MetricData, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Telemetry } from '../../../shared/tracing/telemetry.js';
import { type OpenTelemetryOptions, openTelemetry } from '../../../telemetry/index.js';
import { until } from '../until.js';

/** Reads metrics when a test asks. */
class OnDemandReader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** An OpenTelemetry SDK that keeps its spans and metrics in memory. */
export class RecordedTelemetry {
  readonly provider: BasicTracerProvider;
  readonly #exporter = new InMemorySpanExporter();
  readonly #reader = new OnDemandReader();
  readonly #meters = new MeterProvider({ readers: [this.#reader] });

  constructor() {
    this.provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(this.#exporter)] });
  }

  /** Registers the context manager, the propagator and the provider that instrumentations look for, as SDKs do. */
  register(): void {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    trace.setGlobalTracerProvider(this.provider);
  }

  unregister(): void {
    context.disable();
    propagation.disable();
    trace.disable();
  }

  telemetry(options: Pick<OpenTelemetryOptions, 'propagation'> = {}): Telemetry {
    return openTelemetry({ tracerProvider: this.provider, meterProvider: this.#meters, ...options });
  }

  /** Runs `work` in a span of the test. */
  within<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    return this.provider.getTracer('test').startActiveSpan(name, async (span) => {
      try {
        return await work();
      } finally {
        span.end();
      }
    });
  }

  get spans(): ReadableSpan[] {
    return this.#exporter.getFinishedSpans();
  }

  named(name: string): ReadableSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  /** Resolves with the spans of a name once there are `count`. */
  ended(name: string, count = 1): Promise<ReadableSpan[]> {
    return until(
      () => Promise.resolve(this.named(name)),
      (spans) => spans.length >= count,
    );
  }

  reset(): void {
    this.#exporter.reset();
  }

  /** Returns the metrics by name. */
  async metrics(): Promise<Map<string, MetricData>> {
    const { resourceMetrics } = await this.#reader.collect();
    const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
    return new Map(all.map((metric) => [metric.descriptor.name, metric]));
  }

  /** Returns the attributes of a metric's series, with their value: of a histogram, the count. */
  async series(name: string): Promise<{ readonly attributes: Attributes; readonly value: number }[]> {
    const points = (await this.metrics()).get(name)?.dataPoints ?? [];
    return points.map(({ attributes, value }) => ({ attributes, value: typeof value === 'number' ? value : value.count }));
  }
}

/** Whether a span is a child of another one. */
export function isChildOf(child: ReadableSpan, parent: ReadableSpan): boolean {
  const { traceId, spanId } = parent.spanContext();
  return child.parentSpanContext?.spanId === spanId && child.spanContext().traceId === traceId;
}

/** Whether a span links to another one. */
export function linksTo(span: ReadableSpan, to: ReadableSpan): boolean {
  return span.links.some(({ context: { spanId, traceId } }) => same({ spanId, traceId }, to.spanContext()));
}

function same(one: Pick<SpanContext, 'traceId' | 'spanId'>, other: SpanContext): boolean {
  return one.traceId === other.traceId && one.spanId === other.spanId;
}
