import type { Request, Response } from 'express';
import type { RequestSpan, Telemetry, TraceFields } from '../../shared/tracing/telemetry.js';

const spans = new WeakMap<object, RequestSpan>();

/**
 * Runs the handler of a route in the trace of its caller (`traceparent`): a write gets a span, and the enqueue or the stop that it makes is a
 * child of that.
 * @param route the path with its parameters in braces, relative to the router
 */
export async function traced(
  telemetry: Telemetry | null,
  { req, res, route }: { readonly req: Request; readonly res: Response; readonly route: string },
  work: () => Promise<void>,
): Promise<void> {
  if (telemetry === null) return work();
  const { method, baseUrl, headers } = req;
  const span = telemetry.request({ method, route: baseUrl + route, headers });
  spans.set(res, span);
  let failure: unknown = null;
  res.once('close', () => span.end(res.statusCode, failure));
  try {
    await span.run(work);
  } catch (error) {
    failure = error;
    throw error;
  }
}

/** Returns the ids of the span of a request, for log lines; undefined without one. */
export function traceOf(res: object): TraceFields | undefined {
  return spans.get(res)?.fields;
}
