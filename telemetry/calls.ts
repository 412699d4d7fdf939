import { type Context, type Span, SpanKind, context as contexts, trace } from '@opentelemetry/api';
import type { StopReceipt } from '../shared/stop/receipt.js';
import type { Carrier } from '../shared/tracing/carrier.js';
import type { SendStart, SentTask, StopStart } from '../shared/tracing/telemetry.js';
import { NAMES, queueAttributes, seriesErrorType } from './names.js';
import { carrierOf, contextOf } from './propagation.js';
import { fail } from './spans.js';
import { type Tracing, operation, stopAttributes } from './tracing.js';

/** A call of a producer, in its span. */
interface Call<Result> {
  readonly work: (carrier: Carrier | undefined) => Promise<Result>;
  /** Adds the result to the span. */
  readonly describe: (result: Result) => void;
  readonly measure: (ms: number, failure: Readonly<Record<string, string>>) => void;
}

/** Traces and measures the calls of a producer. */
export class Calls {
  constructor(private readonly tracing: Tracing) {}

  send<Result extends SentTask | readonly SentTask[]>(
    { queue, name, count, parent }: SendStart,
    work: Call<Result>['work'],
  ): Promise<Result> {
    const { tracer, instruments } = this.tracing;
    const destination = { [NAMES.destination]: queue, [NAMES.task]: name };
    const outside = this.#outside(parent);
    const attributes = { ...operation('send', 'send'), ...destination, ...(count !== null && { [NAMES.batchCount]: count }) };
    const span = tracer.startSpan(`send ${queue}`, { kind: SpanKind.PRODUCER, attributes }, outside);
    return this.#during(span, outside, {
      work,
      describe: (result) => describeSent(span, result),
      measure: (ms, failure) => {
        instruments.sent(count ?? 1, { [NAMES.operationName]: 'send', ...destination, ...failure });
        instruments.operated(ms, { [NAMES.operationName]: 'send', [NAMES.operationType]: 'send', ...destination, ...failure });
      },
    });
  }

  stop({ ids, item, reason, by }: StopStart, work: Call<StopReceipt[]>['work']): Promise<StopReceipt[]> {
    const { tracer, instruments } = this.tracing;
    const outside = contexts.active();
    const attributes = {
      ...operation('stop'),
      ...(ids?.length === 1 && { [NAMES.messageId]: ids[0] }),
      ...(item !== null && { [NAMES.item]: item }),
      ...stopAttributes(reason, by),
    };
    const span = tracer.startSpan('stop', { kind: SpanKind.PRODUCER, attributes }, outside);
    return this.#during(span, outside, {
      work,
      describe: (receipts) => describeStopped(span, receipts),
      measure: (ms, failure) => instruments.operated(ms, { [NAMES.operationName]: 'stop', ...failure }),
    });
  }

  /** Returns the context that an enqueue runs in: the active one, or that of the attempt if no span is active. */
  #outside(parent: Carrier | undefined): Context {
    const active = contexts.active();
    return parent === undefined || trace.getSpan(active) ? active : contextOf(parent, this.tracing.propagation);
  }

  async #during<Result>(span: Span, outside: Context, { work, describe, measure }: Call<Result>): Promise<Result> {
    const since = performance.now();
    const context = trace.setSpan(outside, span);
    let failure: Readonly<Record<string, string>> = {};
    try {
      const result = await contexts.with(context, () => work(carrierOf(context, this.tracing.propagation)));
      describe(result);
      return result;
    } catch (error) {
      fail(span, error);
      failure = { [NAMES.errorType]: seriesErrorType(error) };
      throw error;
    } finally {
      span.end();
      measure(performance.now() - since, failure);
    }
  }
}

function describeSent(span: Span, sent: SentTask | readonly SentTask[]): void {
  if (!('id' in sent)) {
    span.setAttribute('taskfleet.task.duplicates', sent.filter(({ duplicate }) => duplicate).length);
    return;
  }
  const { id, queue, item, duplicate, superseded = [] } = sent;
  span.setAttributes({
    ...queueAttributes(queue),
    [NAMES.messageId]: id,
    ...(item !== null && { [NAMES.item]: item }),
    ...(duplicate && { [NAMES.duplicate]: true }),
    ...(superseded.length > 0 && { [NAMES.superseded]: superseded.length }),
  });
}

/** Describes one receipt, or counts several by outcome. */
function describeStopped(span: Span, receipts: readonly StopReceipt[]): void {
  span.setAttribute(NAMES.batchCount, receipts.length);
  const [receipt, ...others] = receipts;
  if (!receipt) return;
  if (others.length > 0) {
    const counts: Record<string, number> = {};
    for (const { outcome } of receipts) counts[`taskfleet.stop.${outcome}`] = (counts[`taskfleet.stop.${outcome}`] ?? 0) + 1;
    span.setAttributes(counts);
    return;
  }
  const { id, outcome, via, latencyMs } = receipt;
  span.setAttributes({
    [NAMES.messageId]: id,
    [NAMES.stopOutcome]: outcome,
    ...(via !== null && { [NAMES.stopVia]: via }),
    ...(latencyMs !== null && { [NAMES.stopLatency]: latencyMs / 1_000 }),
  });
}
