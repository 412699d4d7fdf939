import { type Context, SpanKind, trace } from '@opentelemetry/api';
import type { AttemptSpan, AttemptTrace, SettledStop } from '../shared/tracing/telemetry.js';
import { NAMES, SYSTEM, queueAttributes } from './names.js';
import { contextOf } from './propagation.js';
import { ProcessSpan } from './spans.js';
import { type Tracing, linksTo, operation, stopAttributes } from './tracing.js';

/**
 * Traces and measures what workers do. A time that another machine took is not used as it is: spans end now, by this machine's clock, and
 * their lengths are differences by the clock of Redis.
 */
export class Processing {
  constructor(private readonly tracing: Tracing) {}

  attempt(start: AttemptTrace): AttemptSpan {
    const { id, name, queue, item, attempt, maxAttempts, workerId, carrier, waitedMs } = start;
    const { tracer, instruments, propagation, isParent } = this.tracing;
    const remote = contextOf(carrier, propagation);
    const outside = isParent ? remote : trace.deleteSpan(remote);
    const place = queueAttributes(queue);
    const attributes = {
      ...operation('process', 'process'),
      ...place,
      [NAMES.messageId]: id,
      [NAMES.clientId]: workerId,
      [NAMES.task]: name,
      ...(item !== null && { [NAMES.item]: item }),
      [NAMES.attempt]: attempt,
      [NAMES.maxAttempts]: maxAttempts,
      [NAMES.waited]: waitedMs / 1_000,
    };
    const links = isParent ? [] : linksTo(remote);
    const span = tracer.startSpan(`process ${name}`, { kind: SpanKind.CONSUMER, links, attributes }, outside);
    const bounded = { [NAMES.operationName]: 'process', [NAMES.destination]: place[NAMES.destination], [NAMES.task]: name };
    const process = new ProcessSpan(span, outside, { propagation, instruments, attributes: bounded });
    this.#addWait(start, remote, process.context);
    instruments.started(waitedMs, bounded);
    return process;
  }

  /** Adds the wait before an attempt to the trace of the enqueue, with a link to the attempt. */
  #addWait({ id, name, queue, attempt, waitedMs }: AttemptTrace, remote: Context, process: Context): void {
    if (!trace.getSpanContext(remote)) return;
    const attributes = {
      [NAMES.system]: SYSTEM,
      ...queueAttributes(queue),
      [NAMES.messageId]: id,
      [NAMES.task]: name,
      [NAMES.attempt]: attempt,
    };
    const now = Date.now();
    const options = { kind: SpanKind.INTERNAL, startTime: now - waitedMs, links: linksTo(process), attributes };
    this.tracing.tracer.startSpan(`wait ${queue}`, options, remote).end(now);
  }

  stopSettled(stop: SettledStop): void {
    const { name, queue, via, latencyMs, byRequest } = stop;
    const destination = queueAttributes(queue)[NAMES.destination];
    if (latencyMs !== null)
      this.tracing.instruments.stopped(latencyMs, { [NAMES.destination]: destination, [NAMES.task]: name, [NAMES.stopVia]: via });
    if (!byRequest) this.#addStop(stop);
  }

  /** Adds a span from the record of a stop to the end of its task, with the abort of the handler as an event. */
  #addStop({ id, name, queue, via, reason, by, carrier, attempt, latencyMs, abortedMs }: SettledStop): void {
    const { tracer, propagation, isParent } = this.tracing;
    const request = contextOf(carrier, propagation);
    const run = attempt instanceof ProcessSpan ? attempt.context : null;
    // Without an attempt in this process, the context of the request is all that there is.
    const [outside, other] = isParent || run === null ? [request, run] : [run, request];
    const now = Date.now();
    const start = now - (latencyMs ?? 0);
    const attributes = {
      ...operation('stop', 'settle'),
      ...queueAttributes(queue),
      [NAMES.messageId]: id,
      [NAMES.task]: name,
      [NAMES.stopVia]: via,
      ...stopAttributes(reason, by),
      ...(latencyMs !== null && { [NAMES.stopLatency]: latencyMs / 1_000 }),
    };
    const links = other === null ? [] : linksTo(other);
    const span = tracer.startSpan(`stop ${name}`, { kind: SpanKind.INTERNAL, startTime: start, links, attributes }, outside);
    if (latencyMs !== null) span.addEvent('taskfleet.stop.recorded', {}, start);
    if (abortedMs !== null) span.addEvent('taskfleet.stop.aborted', {}, Math.min(now, start + abortedMs));
    span.addEvent('taskfleet.stop.settled', { [NAMES.stopVia]: via }, now);
    span.end(now);
  }
}
