import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { FleetError } from '../../shared/errors.js';
import { checkId, checkItem, quote } from '../../shared/keys.js';
import { MAX_DELAY_MS, MAX_PRIORITY } from '../../shared/limits.js';
import type { Schedule, ScheduleMark, ScheduledDefinition } from '../../shared/schedule/schedule.js';
import { type AnyDefinition, checkInput } from '../../shared/task/definition.js';
import type { ChildOptions, ParentTask } from '../../shared/task/handler.js';
import type { Sharded } from '../../shared/task/shards.js';

/** Limits for validating tasks. */
export interface TaskLimits {
  readonly maxInputBytes: number;
  readonly clock: Pick<FleetClock, 'now'>;
}

export interface EnqueueOptions {
  /** What the task belongs to, such as a chat, document or user. 1 to 256 characters, no control characters. Default: none. */
  readonly item?: string | undefined;
  /** Makes enqueueing idempotent: enqueueing the same id again adds nothing. Default: a new UUIDv7. */
  readonly id?: string | undefined;
  /** Delay before the first attempt, in ms. Default 0, at most ten years. */
  readonly delay?: number | undefined;
  /** 1 (first) to 2,097,151 (last). 0, the default, comes before all of them. */
  readonly priority?: number | undefined;
  /** No attempt starts after this time; the task then fails. Default: from the definition's `deadlineMs`, if set. */
  readonly deadline?: Date | undefined;
  /**
   * Policy if the item has live tasks. `stop-previous` adds this task and stops the others; `reject` adds nothing and fails with
   * `ITEM_BUSY`. Of several concurrent enqueues, exactly one task survives. Needs an `item`. Default: tasks run side by side.
   */
  readonly onBusy?: OnBusy | undefined;
}

export type OnBusy = 'stop-previous' | 'reject';

/** A validated task that is not yet written. */
export interface PreparedTask {
  readonly definition: ScheduledDefinition & Sharded;
  /** The caller's input as JSON, without the schema's defaults, which the worker fills in. */
  readonly data: string;
  /** Empty for none. */
  readonly item: string;
  /** Null to generate an id. */
  readonly id: string | null;
  readonly delay: number;
  readonly priority: number;
  /** Milliseconds since the epoch; null for none. */
  readonly deadline: number | null;
  readonly onBusy: OnBusy | null;
  readonly parent: ParentTask | null;
  readonly schedule: ScheduleMark | null;
}

/**
 * Validates a task before anything is written.
 * @throws FleetError `INVALID_INPUT`, `INPUT_TOO_LARGE`, `INVALID_ID`, `INVALID_ITEM` or `INVALID_OPTION`
 */
export function prepareTask(
  definition: AnyDefinition,
  input: unknown,
  options: EnqueueOptions,
  { maxInputBytes, clock }: TaskLimits,
): PreparedTask {
  const delay = checkWhole('delay', options.delay, MAX_DELAY_MS);
  return {
    definition,
    data: checkInput(definition, input, maxInputBytes),
    item: options.item === undefined ? '' : checkItem(options.item),
    id: options.id === undefined ? null : checkId(options.id),
    delay,
    priority: checkWhole('priority', options.priority, MAX_PRIORITY),
    deadline: checkDeadline(options.deadline, clock.now() + delay, definition.deadlineMs, delay > 0),
    onBusy: options.onBusy === undefined ? null : checkOnBusy(options),
    parent: null,
    schedule: null,
  };
}

/** Validates a task that a handler enqueues. @throws as {@link prepareTask} */
export function prepareChild(
  parent: ParentTask,
  definition: AnyDefinition,
  input: unknown,
  options: ChildOptions,
  limits: TaskLimits,
): PreparedTask {
  const { id, delay, priority, deadline } = options;
  return { ...prepareTask(definition, input, { id, delay, priority, deadline }, limits), item: parent.item, parent };
}

/** Prepares a schedule's task to run now. */
export function prepareScheduled({ id, definition, data, item, overlap }: Schedule, now: number): PreparedTask {
  const deadline = definition.deadlineMs === null ? null : now + definition.deadlineMs;
  // No jitter for an explicit run.
  return {
    definition,
    data,
    item,
    id: null,
    delay: 0,
    priority: 0,
    deadline,
    onBusy: null,
    parent: null,
    schedule: { id, overlap, jitterMs: 0 },
  };
}

function checkDeadline(deadline: unknown, startsAt: number, deadlineMs: number | null, delayed: boolean): number | null {
  if (deadline === undefined) return deadlineMs === null ? null : startsAt + deadlineMs;
  if (!(deadline instanceof Date) || Number.isNaN(deadline.getTime())) throw badOption('deadline', 'a Date', deadline);
  if (deadline.getTime() >= startsAt) return deadline.getTime();
  const soonest = delayed ? 'the end of the delay' : 'now';
  throw new FleetError('INVALID_OPTION', `Bad deadline: ${deadline.toISOString()} is before ${soonest}, so the task could never start.`, {
    details: { field: 'deadline' },
  });
}

function checkOnBusy({ onBusy, item }: EnqueueOptions): OnBusy {
  if (onBusy !== 'stop-previous' && onBusy !== 'reject') throw badOption('onBusy', "'stop-previous' or 'reject'", onBusy);
  if (item === undefined)
    throw new FleetError('INVALID_OPTION', 'Bad onBusy: it needs an item.', {
      details: { field: 'onBusy' },
    });
  return onBusy;
}

function badOption(field: string, expected: string, got: unknown): FleetError {
  const shown = typeof got === 'string' ? quote(got) : got instanceof Date ? 'an invalid Date' : typeof got;
  return new FleetError('INVALID_OPTION', `Bad ${field}: expected ${expected}, got ${shown}.`, { details: { field } });
}

/** Returns a whole number from 0 to `max`; 0 if undefined. */
export function checkWhole(name: string, value: unknown, max: number): number {
  if (value === undefined) return 0;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new FleetError(
    'INVALID_OPTION',
    `Bad ${name}: expected a whole number from 0 to ${max}, got ${typeof value === 'number' ? value : typeof value}.`,
    {
      details: { field: name },
    },
  );
}
