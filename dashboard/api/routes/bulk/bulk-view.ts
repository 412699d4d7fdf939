import type { z } from 'zod';
import { BULK_ACTIONS, type BulkAction } from '../../../../shared/bulk/bulk-filter.js';
import { isBulk } from '../../../../shared/bulk/bulk-search.js';
import { readBulk } from '../../../../shared/bulk/redis-journal.js';
import { isTerminal } from '../../../../shared/task/state.js';
import type { TaskView } from '../../../../shared/task/view.js';
import { BULK_DEFINITIONS, type BulkInput, bulkInput } from '../../../../worker/builtin/definitions.js';
import { type Principal, callerKeyOf, hasRole, noTask } from '../../../auth/principal.js';
import type { ApiContext } from '../../context.js';
import type { bulk } from '../../schemas/bulk.js';

/** A bulk that the caller may follow. */
interface FoundBulk {
  readonly action: BulkAction;
  readonly task: TaskView;
  readonly input: BulkInput;
}

/**
 * Finds a bulk: callers may follow and stop their own, and operators without item patterns all of them.
 * @throws FleetError `TASK_NOT_FOUND`
 */
export async function findBulk({ producer, store }: ApiContext, principal: Principal, id: string): Promise<FoundBulk> {
  const task = await producer.get(id);
  const action = BULK_ACTIONS.find((one) => BULK_DEFINITIONS[one].name === task?.name);
  if (!task || action === undefined || task.queue === null || !isBulk(task)) throw noTask(id);
  const key = store.keys.jobs(task.queue) + id;
  const input = parseInput(await store.unreadable.read(key, 'hash', store.redis.hget(key, 'data'), null));
  if (input === null) {
    store.unreadable.report({ key, id: 'data', problem: 'expected the input of a bulk' });
    throw noTask(id);
  }
  if (input.caller.key !== callerKeyOf(principal) && !(hasRole(principal, 'operator') && principal.items === null)) throw noTask(id);
  return { action, task, input };
}

function parseInput(text: string | null): BulkInput | null {
  try {
    return bulkInput.safeParse(JSON.parse(text ?? '')).data ?? null;
  } catch {
    return null;
  }
}

/** Returns the JSON of a bulk. */
export async function bulkJson({ store }: ApiContext, { action, task, input }: FoundBulk): Promise<z.output<typeof bulk>> {
  const { total, done, outcomes } = await readBulk(store, task.id, action);
  const { id, state, error, enqueuedAt, startedAt, finishedAt } = task;
  const { filter, reason, by } = input;
  return {
    ...{ id, action, state, filter, reason, by, total },
    matched: isTerminal(state) ? done : Math.max(total ?? 0, done),
    ...{ done, outcomes, error },
    enqueued_at: enqueuedAt?.toISOString() ?? null,
    started_at: startedAt?.toISOString() ?? null,
    finished_at: finishedAt?.toISOString() ?? null,
  };
}
