import type { z } from 'zod';
import { FleetError } from '../../shared/errors.js';
import type { WhenBusy } from '../../shared/limiter/policy.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { type Principal, checkMayStop } from '../auth/principal.js';
import type { enqueueBody } from './schemas/task.js';

type EnqueueBody = z.output<typeof enqueueBody>;

/**
 * Fields that an item token may not choose. An id or a deduplication key could name another item's task; tags and priority are for the
 * service to decide.
 */
const RESERVED = ['id', 'dedupe', 'tags', 'priority'] as const;

/** Checks that an item token may enqueue such a task; other callers pass. Runs before names are looked up. @throws FleetError `FORBIDDEN` */
export function checkItemToken({ itemToken }: Principal, body: EnqueueBody): void {
  if (!itemToken) return;
  if (!itemToken.tasks.includes(body.name)) throw forbidden('name', `This item token may enqueue ${listed(itemToken.tasks)}.`);
  const reserved = RESERVED.find((field) => body[field] !== undefined);
  if (reserved === undefined) return;
  const hint = reserved === 'id' ? ' Pass an Idempotency-Key instead.' : '';
  throw forbidden(reserved, `An item token may not set ${reserved}.${hint}`);
}

function listed(tasks: readonly string[]): string {
  return tasks.length === 0 ? 'no tasks' : `only ${tasks.join(', ')}`;
}

/**
 * Checks that the caller may stop the tasks which the enqueue may stop. The definition's own policy counts for item tokens only: its
 * service chose it for the other callers. @throws FleetError `FORBIDDEN`
 */
export function checkMayStopOthers(principal: Principal, definition: AnyDefinition, body: EnqueueBody): void {
  const { when_busy: whenBusy, on_busy: onBusy, item } = body;
  const standard = principal.itemToken && whenBusy === undefined && onBusy === undefined ? definition.whenBusy : null;
  if (![whenBusy, onBusy, standard].some(stopsOthers)) return;
  const stopped = stoppedItem(definition, item);
  checkMayStop(principal, stopped);
  if (stopped !== null || principal.items === null) return;
  throw forbidden('when_busy', `${principal.name} may stop tasks of certain items only, and the key may include others.`);
}

function stopsOthers(policy: WhenBusy | null | undefined): boolean {
  return policy === 'stop-previous' || policy === 'replace-waiting';
}

/** Returns the item whose tasks an enqueue may stop; null if they may be tasks of other items, because the key is not the item. */
function stoppedItem({ concurrency }: AnyDefinition, item: string | undefined): string | null {
  const keyed = concurrency.filter(({ by }) => by !== null);
  const isItem = keyed.every(({ by, group }) => by === 'item' && group === null) && (keyed.length > 0 || concurrency.length === 0);
  return isItem ? (item ?? null) : null;
}

function forbidden(field: string, message: string): FleetError {
  return new FleetError('FORBIDDEN', message, { details: { field } });
}
