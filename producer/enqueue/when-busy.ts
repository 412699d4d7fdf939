import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import { parseLimitId } from '../../shared/limiter/limit-id.js';
import type { LimitStep } from '../../shared/limiter/marks.js';
import { WHEN_BUSY, type WhenBusy } from '../../shared/limiter/policy.js';
import type { Refused } from '../../shared/limiter/standing.js';
import type { AnyDefinition } from '../../shared/task/definition.js';

/** Policies for a busy item, which are all that `onBusy` accepts without `concurrency`. */
export type OnBusy = Extract<WhenBusy, 'stop-previous' | 'reject'>;

/** Options of an enqueue. */
export interface BusyOptions {
  /**
   * Policy if the task would have to wait for a key of its definition's `concurrency`. `wait` lines it up; `reject` adds nothing and fails
   * with `ITEM_BUSY`; `stop-previous` lines it up and stops the other tasks of the first key, the oldest first, until it fits;
   * `replace-waiting` stops those in line for the first key and takes their place. Without `concurrency`, `stop-previous` and `reject` are
   * about the live tasks of the item, which they need; of several concurrent enqueues, exactly one task survives. Default: from the
   * definition's `whenBusy`, or `wait`; without `concurrency`, tasks run side by side.
   */
  readonly whenBusy?: WhenBusy | undefined;
  /** The older name of `whenBusy`. */
  readonly onBusy?: WhenBusy | undefined;
}

export interface BusyPolicies {
  /** For the item of a definition without `concurrency`; null if tasks run side by side. */
  readonly onBusy: OnBusy | null;
  /** For the keys of a definition with `concurrency`. */
  readonly whenBusy: WhenBusy;
}

interface Asked extends BusyOptions {
  readonly item?: string | undefined;
  readonly delay: number;
  readonly steps: readonly LimitStep[] | null;
  readonly isChild: boolean;
}

/** Determines the policies of an enqueue from its options and the definition's default. @throws FleetError `INVALID_OPTION` */
export function busyPolicies(definition: AnyDefinition, asked: Asked): BusyPolicies {
  const { whenBusy, onBusy, item, delay, steps, isChild } = asked;
  const field = whenBusy === undefined ? 'onBusy' : 'whenBusy';
  const policy = whenBusy ?? onBusy;
  if (whenBusy !== undefined && onBusy !== undefined && whenBusy !== onBusy)
    throw bad('onBusy', 'it contradicts whenBusy, of which it is the older name');
  // The limits of a child that a thread enqueues were computed there.
  const hasKeys = (definition.concurrency ?? []).length > 0 || (steps ?? []).some(({ kind }) => kind === 'place');
  if (hasKeys) {
    if (policy !== undefined && !WHEN_BUSY.includes(policy)) throw bad(field, `expected ${listed(WHEN_BUSY)}, got ${shown(policy)}`);
    if (delay === 0) return { onBusy: null, whenBusy: policy ?? definition.whenBusy ?? 'wait' };
    if (policy !== undefined && policy !== 'wait')
      throw bad(field, `expected 'wait' with a delay, got '${policy}': the task lines up later`);
    return { onBusy: null, whenBusy: 'wait' };
  }
  if (policy !== undefined) {
    if (!isOnBusy(policy)) throw bad(field, `expected 'stop-previous' or 'reject', got ${shown(policy)}${hintOf(policy)}`);
    if (item === undefined) throw bad(field, 'it needs an item');
    return { onBusy: policy, whenBusy: 'wait' };
  }
  // The item of a child is busy with its parent.
  const standard = item === undefined || isChild ? null : (definition.whenBusy ?? null);
  return { onBusy: isOnBusy(standard) ? standard : null, whenBusy: 'wait' };
}

function isOnBusy(value: unknown): value is OnBusy {
  return value === 'stop-previous' || value === 'reject';
}

function hintOf(policy: unknown): string {
  return WHEN_BUSY.some((known) => known === policy) ? ', which needs a definition with concurrency' : '';
}

function listed(values: readonly string[]): string {
  return values.map((value) => `'${value}'`).join(', ');
}

function shown(value: unknown): string {
  return typeof value === 'string' ? quote(value) : typeof value;
}

function bad(field: string, problem: string): FleetError {
  return new FleetError('INVALID_OPTION', `Bad ${field}: ${problem}.`, { details: { field } });
}

/** Creates the error of an enqueue whose item has live tasks. */
export function itemBusy(item: string, ids: readonly string[]): FleetError {
  return new FleetError('ITEM_BUSY', `Item ${quote(item)} has live tasks: ${some(ids)}. Nothing was added.`, { details: { item, ids } });
}

interface Refusable extends BusyPolicies {
  readonly definition: { readonly name: string };
  readonly steps: readonly LimitStep[] | null;
}

/** Creates the error of an enqueue that the limiter refused. */
export function refusal({ definition: { name }, steps, whenBusy }: Refusable, { kind, id, ids }: Refused): FleetError {
  const step = steps?.find((one) => one.id === id);
  const { key } = parseLimitId(id);
  const details = { key, ids };
  const which = key === null ? `The limit of all tasks of ${name}` : `Key ${quote(key)} of ${name}`;
  if (kind === 'parent') {
    const message = `${which} is taken by task ${ids[0] ?? 'above'}, an ancestor of this child: it would wait for its own parent.`;
    return new FleetError('PARENT_HOLDS_KEY', `${message} Nothing was added.`, { details });
  }
  const full = `has a full line (maxWaiting ${step?.maxWaiting ?? 0})`;
  const busy = whenBusy === 'reject' ? 'is taken' : full;
  return new FleetError('ITEM_BUSY', `${which} ${busy}: ${some(ids)}. Nothing was added.`, { details });
}

function some(ids: readonly string[]): string {
  return ids.slice(0, 5).join(', ') + (ids.length > 5 ? ` and ${ids.length - 5} more` : '');
}
