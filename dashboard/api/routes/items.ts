import { z } from 'zod';
import { receiptToJson } from '../../../producer/index.js';
import { exactly } from '../../../shared/task/filter/filter.js';
import { noteItem } from '../../auth/audit.js';
import { type Principal, checkMayStop, seesItem } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { item, reason, wholeText } from '../schemas/fields.js';
import { pageFields } from '../schemas/filter.js';
import { receipts, taskPage } from '../schemas/task.js';
import { pageOf } from './tasks.js';

const byItem = z.strictObject({ item });

const list = defineRoute({
  method: 'get',
  path: '/items/{item}/tasks',
  role: 'viewer',
  itemTokens: true,
  operation: 'listTasksOfItem',
  summary: "List an item's live tasks, newest first",
  description: 'Encode slashes in the item as `%2F`.',
  params: byItem,
  query: z.strictObject(pageFields),
  replies: { 200: { about: 'A page of tasks.', schema: taskPage } },
  errors: ['INVALID_ITEM', 'INVALID_OPTION'],
  handle: async ({ api, principal, params, query }) => {
    const body = seesItem(principal, params.item)
      ? await pageOf(api.producer, principal, { ...query, item: exactly(params.item) })
      : { tasks: [], next: null, searched: 0, reached: null };
    return { status: 200, body };
  },
});

const stop = defineRoute({
  method: 'post',
  path: '/items/{item}/stop',
  role: 'submitter',
  itemTokens: true,
  operation: 'stopItem',
  summary: 'Stop every live task of an item, or list them as a dry run',
  params: byItem,
  query: z.strictObject({ wait_ms: wholeText(0, 60_000, 'How long to wait for running tasks to settle, in ms. Default 0.').optional() }),
  body: z.strictObject({
    reason: reason.optional(),
    dry_run: z.boolean().optional().meta({ description: 'List the tasks without stopping them. Default false.' }),
  }),
  replies: {
    200: { about: 'Settled: every task is cancelled or had finished; or the result of a dry run.', schema: receipts },
    202: { about: 'Requested: some stops are recorded but did not settle within the wait.', schema: receipts },
  },
  errors: ['INVALID_ITEM', 'NOT_REPLICATED'],
  audit: ({ params, body }) => ({
    action: body.dry_run ? 'item.stop (dry run)' : 'item.stop',
    target: params.item,
    reason: body.reason ?? null,
  }),
  handle: async ({ api, principal, params, query, body, res }) => {
    const dryRun = body.dry_run ?? false;
    if (seesItem(principal, params.item)) noteItem(res, params.item);
    const receiptsOfStop = mayStop(principal, params.item)
      ? await api.producer.stopItem(params.item, { reason: body.reason, by: principal.name, waitMs: query.wait_ms, dryRun })
      : [];
    const open = !dryRun && receiptsOfStop.some(({ outcome }) => outcome === 'requested');
    return {
      status: open ? 202 : 200,
      body: { dry_run: dryRun, receipts: receiptsOfStop.map(receiptToJson) },
      outcome: `${receiptsOfStop.length} tasks`,
    };
  },
});

/** Returns false for an item that the caller may not see, which has no tasks for it. @throws FleetError `FORBIDDEN` */
function mayStop(principal: Principal, name: string): boolean {
  if (!seesItem(principal, name)) return false;
  checkMayStop(principal, name);
  return true;
}

export const itemRoutes: readonly Route[] = [list, stop];
