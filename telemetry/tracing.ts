import { type Context, type Link, type Tracer, trace } from '@opentelemetry/api';
import type { Instruments } from './metrics.js';
import { NAMES, SYSTEM } from './names.js';
import type { Propagation } from './propagation.js';

/** What makes spans and metrics, and how contexts travel. */
export interface Tracing {
  readonly tracer: Tracer;
  readonly instruments: Instruments;
  readonly propagation: Propagation | undefined;
  /** Whether attempts are children of the enqueue, rather than linked to it. */
  readonly isParent: boolean;
}

export function operation(name: string, type?: string): Record<string, string> {
  return { [NAMES.system]: SYSTEM, [NAMES.operationName]: name, ...(type !== undefined && { [NAMES.operationType]: type }) };
}

export function linksTo(context: Context): Link[] {
  const span = trace.getSpanContext(context);
  return span ? [{ context: span }] : [];
}

export function stopAttributes(reason: string | null, by: string | null): Record<string, string> {
  return { ...(reason !== null && { [NAMES.stopReason]: reason }), ...(by !== null && { [NAMES.stopBy]: by }) };
}
