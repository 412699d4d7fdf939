import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { FleetError } from '../../shared/errors.js';
import { checkId, checkItem, quote } from '../../shared/keys.js';
import { type LimitStep, limitsOf, stepsOf } from '../../shared/limiter/marks.js';
import { MAX_DELAY_MS, MAX_PRIORITY } from '../../shared/limits.js';
import type { Schedule, ScheduleMark, ScheduledDefinition } from '../../shared/schedule/schedule.js';
import { type Dedupe, type DedupeOptions, checkDedupe, dedupeOptionsOf } from '../../shared/task/dedupe.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { ChildOptions, ParentTask } from '../../shared/task/handler.js';
import { checkInput } from '../../shared/task/payload/payload.js';
import type { Sharded } from '../../shared/task/shards.js';
import { tagsOf } from '../../shared/task/tags.js';
import type { Carrier } from '../../shared/tracing/carrier.js';
import { type BusyOptions, type BusyPolicies, busyPolicies } from './when-busy.js';

const NONE: readonly string[] = Object.freeze([]);

/** Limits for validating tasks. */
export interface TaskLimits {
  readonly maxInputBytes: number;
  readonly clock: Pick<FleetClock, 'now'>;
}

export interface EnqueueOptions extends BusyOptions {
  /** What the task belongs to, such as a chat, document or user. 1 to 256 characters, no control characters. Default: none. */
  readonly item?: string | undefined;
  /** Labels for filters, such as `tenant:7`: at most 10 with those of the definition, each with the rule of items. Default: none. */
  readonly tags?: readonly string[] | undefined;
  /** Makes enqueueing idempotent: enqueueing the same id again adds nothing. Default: a new UUIDv7. */
  readonly id?: string | undefined;
  /** Delay before the first attempt, in ms. Default 0, at most ten years. */
  readonly delay?: number | undefined;
  /** 1 (first) to 2,097,151 (last). 0, the default, comes before all of them. */
  readonly priority?: number | undefined;
  /** No attempt starts after this time; the task then fails. Default: from the definition's `deadlineMs`, if set. */
  readonly deadline?: Date | undefined;
  /**
   * Adds no task while another one stands for the same key; the enqueue then returns that task, with `duplicate: true`. Takes precedence
   * over the policy for a busy item. Default: the definition's `dedupe`; null for none.
   */
  readonly dedupe?: DedupeOptions | null | undefined;
  /** @internal Whether the caller may see, and by a deduplication with `debounce` replace, a task of this item. Default: every task. */
  readonly sees?: ((item: string | null) => boolean) | undefined;
}

/** A validated task that is not yet written. */
export interface PreparedTask extends BusyPolicies {
  readonly definition: ScheduledDefinition & Sharded;
  /** The caller's input as JSON, without the schema's defaults, which the worker fills in. */
  readonly data: string;
  /** Empty for none. */
  readonly item: string;
  /** Empty for none. */
  readonly tags: readonly string[];
  /** Null to generate an id. */
  readonly id: string | null;
  readonly delay: number;
  readonly priority: number;
  /** Milliseconds since the epoch; null for none. */
  readonly deadline: number | null;
  readonly dedupe: Dedupe | null;
  /** The limits of the task, in the order in which it acquires them; null for none. */
  readonly steps: readonly LimitStep[] | null;
  /** The limited tasks above a child, nearest first. */
  readonly ancestors: readonly string[];
  readonly parent: ParentTask | null;
  readonly schedule: ScheduleMark | null;
  /** The context of the enqueue's span. Default: none. */
  readonly carrier?: Carrier | undefined;
}

/**
 * Validates a task before anything is written.
 * @throws FleetError `INVALID_INPUT`, `INPUT_TOO_LARGE`, `INVALID_ID`, `INVALID_ITEM` or `INVALID_OPTION`
 */
export function prepareTask(definition: AnyDefinition, input: unknown, options: EnqueueOptions, limits: TaskLimits): PreparedTask {
  return prepare(definition, input, options, limits, null);
}

/** Validates a task that a handler enqueues. @throws as {@link prepareTask} */
export function prepareChild(
  parent: ParentTask,
  definition: AnyDefinition,
  input: unknown,
  options: ChildOptions,
  limits: TaskLimits,
): PreparedTask {
  const { id, delay, priority, deadline, dedupe, tags } = options;
  const task = prepare(definition, input, { id, delay, priority, deadline, dedupe, tags }, limits, parent);
  // Its replacement might be the child of another task, and a stop of either would not do.
  if (task.dedupe?.mode === 'debounce') throw badOption('dedupe.mode', 'while-live or throttle for a child task', 'debounce');
  return task;
}

function prepare(
  definition: AnyDefinition,
  input: unknown,
  options: EnqueueOptions,
  { maxInputBytes, clock }: TaskLimits,
  parent: ParentTask | null,
): PreparedTask {
  const { json: data, parsed } = checkInput(definition, input, maxInputBytes);
  const item = parent?.item ?? (options.item === undefined ? '' : checkItem(options.item));
  const keyed = { input: parsed, item: item || null };
  const steps = limitsOf(definition, keyed);
  const asked = dedupeOptionsOf(definition, options.dedupe, keyed);
  const dedupe = asked && checkDedupe(definition.name, asked, options.sees);
  const delay = dedupe?.mode === 'debounce' ? debounceDelay(options, dedupe) : checkWhole('delay', options.delay, MAX_DELAY_MS);
  return {
    definition,
    data,
    item,
    tags: tagsOf(definition, keyed, { given: options.tags, inherited: parent?.tags }),
    id: options.id === undefined ? null : checkId(options.id),
    delay,
    priority: checkWhole('priority', options.priority, MAX_PRIORITY),
    deadline: checkDeadline(options.deadline, clock.now() + delay, definition.deadlineMs, delay > 0),
    ...busyPolicies(definition, { ...options, delay, steps, isChild: parent !== null }),
    dedupe,
    steps,
    ancestors: parent?.ancestors ?? NONE,
    parent,
    schedule: null,
  };
}

/** Prepares a schedule's task to run now. */
export function prepareScheduled({ id, definition, data, item, tags, overlap, limits }: Schedule, now: number): PreparedTask {
  const deadline = definition.deadlineMs === null ? null : now + definition.deadlineMs;
  // No jitter for an explicit run.
  return {
    definition,
    data,
    item,
    tags,
    id: null,
    delay: 0,
    priority: 0,
    deadline,
    onBusy: null,
    whenBusy: 'wait',
    dedupe: null,
    steps: limits === null ? null : stepsOf(null, limits),
    ancestors: NONE,
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

/** The delay of a debounced task, which is its `withinMs`. */
function debounceDelay({ delay }: EnqueueOptions, { withinMs }: Dedupe): number {
  if (delay !== undefined && delay !== 0) throw badOption('delay', 'none for mode debounce, whose delay is withinMs', delay);
  return withinMs ?? 0;
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
