import { MAX_CARRIER_LENGTH } from '../limits.js';

/**
 * The context of a span, as text that travels between processes: a JSON object of propagation fields such as `traceparent`. BullMQ stores the
 * same text with a job (`opts.tm`), as do its workers and `bullmq-otel`.
 */
export type Carrier = string;

/** Whether a stored value may be a context. */
export function isCarrier(value: unknown): value is Carrier {
  return typeof value === 'string' && value.length <= MAX_CARRIER_LENGTH;
}
