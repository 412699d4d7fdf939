import type { Attributes } from '@opentelemetry/api';
import { isFleetError } from '../shared/errors.js';
import { baseQueue } from '../shared/task/shards.js';

/** Names of OpenTelemetry's semantic conventions for messaging, and our own below `taskfleet.`. */
export const NAMES = {
  system: 'messaging.system',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  destination: 'messaging.destination.name',
  partition: 'messaging.destination.partition.id',
  messageId: 'messaging.message.id',
  batchCount: 'messaging.batch.message_count',
  clientId: 'messaging.client.id',
  errorType: 'error.type',
  task: 'taskfleet.task.name',
  item: 'taskfleet.task.item',
  duplicate: 'taskfleet.task.duplicate',
  superseded: 'taskfleet.task.superseded',
  attempt: 'taskfleet.attempt.number',
  maxAttempts: 'taskfleet.attempt.max',
  outcome: 'taskfleet.attempt.outcome',
  waited: 'taskfleet.wait.duration',
  cause: 'taskfleet.abort.cause',
  stopReason: 'taskfleet.stop.reason',
  stopBy: 'taskfleet.stop.by',
  stopVia: 'taskfleet.stop.via',
  stopOutcome: 'taskfleet.stop.outcome',
  stopLatency: 'taskfleet.stop.latency',
} as const;

/** The value of `messaging.system`: any BullMQ worker can run the tasks. */
export const SYSTEM = 'bullmq';

/** Returns the attributes of a queue: the logical one, and the shard if there is one. */
export function queueAttributes(queue: string): Attributes {
  const base = baseQueue(queue);
  return base === queue ? { [NAMES.destination]: queue } : { [NAMES.destination]: base, [NAMES.partition]: queue.slice(base.length + 1) };
}

/** Returns the value of `error.type` for a span: the code of a fleet error, or the name of the error's class. */
export function errorType(error: unknown): string {
  if (isFleetError(error)) return error.code;
  const name = error instanceof Error ? error.name : '';
  return NAME.test(name) ? name : OTHER;
}

/** Returns the value of `error.type` for metrics: that of spans, for a bounded number of values. */
export function seriesErrorType(error: unknown): string {
  const type = errorType(error);
  if (!known.has(type) && known.size >= MOST_NAMES) return OTHER;
  known.add(type);
  return type;
}

const OTHER = '_OTHER';

const NAME = /^[A-Za-z_$][\w$.-]{0,63}$/;
/** A program may give its errors any name: metrics must not have a series for each. */
const MOST_NAMES = 100;
const known = new Set<string>();
