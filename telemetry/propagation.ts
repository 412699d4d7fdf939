import {
  type Context,
  type SpanContext,
  type TextMapPropagator,
  ROOT_CONTEXT,
  defaultTextMapGetter,
  defaultTextMapSetter,
  diag,
  isSpanContextValid,
  propagation,
  trace,
} from '@opentelemetry/api';
import { MAX_CARRIER_LENGTH } from '../shared/limits.js';
import type { Carrier } from '../shared/tracing/carrier.js';

/** The part of OpenTelemetry that reads and writes contexts: a given propagator, or the global one. */
export type Propagation = Pick<TextMapPropagator, 'inject' | 'extract'>;

/** Writes the context as `bullmq-otel` does. Without a registered propagator, writes W3C's `traceparent` alone. */
export function carrierOf(context: Context, given: Propagation | undefined): Carrier | undefined {
  const fields: Record<string, string> = {};
  (given ?? propagation).inject(context, fields, defaultTextMapSetter);
  const span = trace.getSpanContext(context);
  if (span && isSpanContextValid(span) && Object.keys(fields).length === 0) fields['traceparent'] = traceparentOf(span);
  if (Object.keys(fields).length === 0) return undefined;
  const carrier = JSON.stringify(fields);
  return carrier.length > MAX_CARRIER_LENGTH ? undefined : carrier;
}

/** Reads a context that any program may have stored; the empty context if it is unreadable. */
export function contextOf(carrier: Carrier | undefined, given: Propagation | undefined): Context {
  return carrier === undefined || carrier.length > MAX_CARRIER_LENGTH ? ROOT_CONTEXT : contextOfFields(fieldsOf(carrier), given);
}

/** Reads a context from fields such as those of an HTTP request. */
export function contextOfFields(fields: Readonly<Record<string, unknown>>, given: Propagation | undefined): Context {
  const context = extract(fields, given ?? propagation);
  if (trace.getSpanContext(context)) return context;
  const span = spanOf(fields['traceparent']);
  return span ? trace.setSpanContext(context, span) : context;
}

/** Reads a context with a propagator, some of which throw for fields that are malformed. */
function extract(fields: Readonly<Record<string, unknown>>, propagator: Propagation): Context {
  try {
    return propagator.extract(ROOT_CONTEXT, fields, defaultTextMapGetter);
  } catch (error) {
    diag.warn('Could not read the context of a task or request; going on without it', error);
    return ROOT_CONTEXT;
  }
}

/** Returns two hexadecimal digits. */
export function flagsOf({ traceFlags }: SpanContext): string {
  return traceFlags.toString(16).padStart(2, '0');
}

function fieldsOf(carrier: Carrier): Record<string, unknown> {
  try {
    const fields: unknown = JSON.parse(carrier);
    return typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function traceparentOf(span: SpanContext): string {
  return `00-${span.traceId}-${span.spanId}-${flagsOf(span)}`;
}

const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})/;

function spanOf(traceparent: unknown): SpanContext | null {
  const [, traceId, spanId, flags] = typeof traceparent === 'string' ? (TRACEPARENT.exec(traceparent) ?? []) : [];
  if (!traceId || !spanId || !flags) return null;
  const span = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(span) ? span : null;
}
