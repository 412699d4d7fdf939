import type { FleetClock } from '../shared/clock/fleet-clock.js';
import { FleetError } from '../shared/errors.js';
import { checkId, checkItem, quote } from '../shared/keys.js';
import type { Schedule, ScheduleMark, ScheduledDefinition } from '../shared/schedule/schedule.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import type { ChildOptions, ParentTask } from '../shared/task/handler.js';
import { checkInput } from '../shared/task/input.js';
import type { Sharded } from '../shared/task/shards.js';

/** What the checks of a task go by. */
export interface TaskLimits {
  readonly maxInputBytes: number;
  readonly clock: Pick<FleetClock, 'now'>;
}

export interface EnqueueOptions {
  /** What the task belongs to: a chat, a document, a user. 1 to 256 characters, no control characters. */
  readonly item?: string | undefined;
  /** Makes enqueueing idempotent: the same id twice is one task. Default: a new UUIDv7. */
  readonly id?: string | undefined;
  /** Start no sooner than this, in ms from now. Default 0, at most ten years. */
  readonly delay?: number | undefined;
  /** 1 is first, 2,097,151 last; 0, the default, comes before all of them. */
  readonly priority?: number | undefined;
  /** Start no attempt later than this: a task that nobody has come to by then fails. Default: the definition's, if it has one. */
  readonly deadline?: Date | undefined;
  /**
   * What to do if the item has live tasks. `stop-previous`: add this one and stop those. `reject`: add nothing and fail
   * with `ITEM_BUSY`. Of several that are enqueued at once, one is the last, or the only one. Needs an `item`.
   * Default: they live side by side.
   */
  readonly onBusy?: OnBusy | undefined;
}

export type OnBusy = 'stop-previous' | 'reject';

/** A task that has passed every check and is not yet written. */
export interface PreparedTask {
  readonly definition: ScheduledDefinition & Sharded;
  /** The input as JSON, as the caller gave it: the worker fills in defaults. */
  readonly data: string;
  /** `''` for none. */
  readonly item: string;
  /** Null for a new one. */
  readonly id: string | null;
  readonly delay: number;
  readonly priority: number;
  /** In ms since the epoch; null for none. */
  readonly deadline: number | null;
  readonly onBusy: OnBusy | null;
  readonly parent: ParentTask | null;
  readonly schedule: ScheduleMark | null;
}

const MAX_DELAY_MS = 10 * 365 * 24 * 3_600_000;
const MAX_PRIORITY = 2_097_151;

/**
 * Checks everything about a task before anything is written.
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

/** A task that a handler enqueues. @throws as {@link prepareTask} */
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

/** A task of a schedule, to be run now. */
export function prepareScheduled({ id, definition, data, item, overlap }: Schedule, now: number): PreparedTask {
  const deadline = definition.deadlineMs === null ? null : now + definition.deadlineMs;
  // Whoever asks for it now does not want it a random time later.
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
    throw new FleetError('INVALID_OPTION', 'Bad onBusy: it is about the tasks of an item, so it needs one.', {
      details: { field: 'onBusy' },
    });
  return onBusy;
}

function badOption(field: string, expected: string, got: unknown): FleetError {
  const shown = typeof got === 'string' ? quote(got) : got instanceof Date ? 'an invalid Date' : typeof got;
  return new FleetError('INVALID_OPTION', `Bad ${field}: expected ${expected}, got ${shown}.`, { details: { field } });
}

/** A whole number from 0 to `max`; 0 if it is not given. */
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
