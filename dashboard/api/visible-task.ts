import { FleetError, isFleetError } from '../../shared/errors.js';
import type { TaskReader } from '../../shared/task/task-reader.js';
import type { TaskView } from '../../shared/task/view.js';
import { limitIn, withLimitIn } from '../../shared/task/wait/waiting.js';
import { type Principal, seesItem, shownTo } from '../auth/principal.js';

/** Returns a task as the caller may see it: without stack traces below the role operator, and without the ids of hidden tasks. */
export async function visibleTask(reader: Pick<TaskReader, 'itemsOf'>, principal: Principal, task: TaskView): Promise<TaskView> {
  const shown = shownTo(principal, task);
  const { waitingFor } = shown;
  const limit = limitIn(waitingFor);
  if (principal.items === null || waitingFor === null || !limit?.behind?.length) return shown;
  const behind = await visibleIds(reader, principal, limit.behind);
  return { ...shown, waitingFor: withLimitIn(waitingFor, { ...limit, behind }) };
}

/** Returns the ids of those tasks that the caller may see. */
export async function visibleIds(
  reader: Pick<TaskReader, 'itemsOf'>,
  principal: Principal,
  ids: readonly string[],
): Promise<readonly string[]> {
  if (principal.items === null || ids.length === 0) return ids;
  const items = await reader.itemsOf(ids);
  // A task that has just ended is in neither list: it is not shown.
  return ids.filter((id) => items.has(id) && seesItem(principal, items.get(id) ?? null));
}

/** Returns the error of an enqueue without the ids of hidden tasks: a key that is not the item may be busy with them. */
export async function visibleFailure(reader: Pick<TaskReader, 'itemsOf'>, principal: Principal, error: unknown): Promise<unknown> {
  if (principal.items === null || !isFleetError(error, 'ITEM_BUSY', 'PARENT_HOLDS_KEY')) return error;
  const given = error.details['ids'] as readonly string[];
  const ids = await visibleIds(reader, principal, given);
  if (ids.length === given.length) return error;
  return new FleetError(error.code, 'The item or key is busy with tasks of other items. Nothing was added.', { details: { ids } });
}
