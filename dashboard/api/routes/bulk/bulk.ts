import { randomUUID } from 'node:crypto';
import type { Request, Response } from 'express';
import { z } from 'zod';
import { bulkReceiptToJson, receiptToJson, taskToJson } from '../../../../producer/index.js';
import { type BulkAction, bulkFilter, filterText } from '../../../../shared/bulk/bulk-filter.js';
import { BULK_ID_START } from '../../../../shared/bulk/bulk-search.js';
import { readReceipts } from '../../../../shared/bulk/redis-journal.js';
import { FleetError } from '../../../../shared/errors.js';
import { MAX_PAGE_SIZE } from '../../../../shared/limits.js';
import { type FilterJson, filterOfJson, filterToJson } from '../../../../shared/task/filter/filter-json.js';
import { BULK_DEFINITIONS, type BulkInput } from '../../../../worker/builtin/definitions.js';
import type { AuditSubject } from '../../../auth/audit.js';
import { type Principal, callerKeyOf, hasRole, shownTo } from '../../../auth/principal.js';
import { addressOf, requestIdOf } from '../../../http/request.js';
import type { ApiContext } from '../../context.js';
import { canonical, idOfKey, withKey } from '../../idempotency.js';
import { type Answer, type Route, defineRoute } from '../../route.js';
import { bulk, bulkBody, bulkPreview, bulkReceipts } from '../../schemas/bulk.js';
import { knownId, reason, wholeText } from '../../schemas/fields.js';
import { idempotencyHeaders, receipt } from '../../schemas/task.js';
import { bulkJson, findBulk } from './bulk-view.js';

type BulkBody = z.output<typeof bulkBody>;
const byId = z.strictObject({ id: knownId });

/** Ids that the audit shows of a bulk by ids. */
const SHOWN_IDS = 5;

function startRoute(action: BulkAction, about: { readonly role: Route['role']; readonly summary: string; readonly who: string }): Route {
  return defineRoute({
    method: 'post',
    path: `/tasks/${action}`,
    role: about.role,
    operation: `${action}Tasks`,
    summary: about.summary,
    description:
      `${about.who} Tasks enqueued${action === 'retry' ? ' or failed' : ''} after the request are left out. The bulk is a task of the ` +
      'maintenance queue: follow it with `GET /bulk/{id}`, stop it with `POST /bulk/{id}/stop`. `Idempotency-Key` makes retries safe.',
    headers: idempotencyHeaders,
    body: bulkBody,
    replies: {
      200: { about: 'A dry run.', schema: bulkPreview },
      202: { about: 'The bulk was enqueued.', schema: bulk, headers: { Location: 'URL of the bulk.' } },
    },
    errors: ['INVALID_ITEM', 'INVALID_OPTION', 'INPUT_TOO_LARGE', 'IDEMPOTENCY_CONFLICT', 'IDEMPOTENCY_IN_PROGRESS', 'NOT_REPLICATED'],
    audit: ({ body }) => subjectOf(action, body),
    handle: async ({ api, principal, headers, body, req, res }) => {
      checkMayAct(principal);
      if (body.dry_run) return preview(api, principal, action, body);
      const key = headers['idempotency-key'];
      const begin = (id: string): Promise<Answer> => start(api, { action, id: `${BULK_ID_START}${id}`, principal, body, req, res });
      if (key === undefined) return begin(randomUUID());
      const request = { key, caller: callerKeyOf(principal), body: canonical({ ...body, action }) };
      return withKey(api.store, request, () => begin(idOfKey(request)));
    },
  });
}

/** Below the role operator, a caller acts on tasks of its items only, and without patterns on none. @throws FleetError `FORBIDDEN` */
function checkMayAct(principal: Principal): void {
  if (hasRole(principal, 'operator') || principal.items !== null) return;
  throw new FleetError(
    'FORBIDDEN',
    `Requires the role operator, or submitter with item patterns; ${principal.name} has the role submitter.`,
  );
}

async function preview(api: ApiContext, principal: Principal, action: BulkAction, { filter, ids, all }: BulkBody): Promise<Answer> {
  if (ids !== undefined) throw new FleetError('INVALID_OPTION', 'Bad ids: a dry run needs a filter.', { details: { field: 'ids' } });
  const options = { dryRun: true, all, visibleItems: principal.items };
  const asked = filterOfJson(filter ?? {}, api.store.clock.now());
  const { matched, complete, first } = await (action === 'stop'
    ? api.producer.stopWhere(asked, options)
    : api.producer.retryWhere(asked, options));
  const body = { dry_run: true, matched, complete, first: first.map((task) => taskToJson(shownTo(principal, task))) };
  return { status: 200, body, outcome: `${matched} tasks` };
}

interface Start {
  readonly action: BulkAction;
  readonly id: string;
  readonly principal: Principal;
  readonly body: BulkBody;
  readonly req: Request;
  readonly res: Response;
}

/** Enqueues the bulk; a repetition with the same id finds it. */
async function start(api: ApiContext, { action, id, principal, body, req, res }: Start): Promise<Answer> {
  const { filter, ids, all = false, reason: why } = body;
  const until = api.store.clock.now();
  const { name, issuer, role, via } = principal;
  const input: BulkInput = {
    filter: ids === undefined ? storedFilter(action, filter ?? {}, { until, all }) : null,
    ids: ids ?? null,
    reason: why || null,
    by: name,
    visible_items: principal.items === null ? null : [...principal.items],
    caller: {
      key: callerKeyOf(principal),
      target: targetOf(body),
      audit: { request_id: requestIdOf(res), name, issuer: issuer ?? null, role, via, address: addressOf(req) },
    },
  };
  await api.producer.enqueue(BULK_DEFINITIONS[action], input, { id });
  const found = await findBulk(api, principal, id);
  return {
    status: 202,
    headers: { Location: `${req.baseUrl}/bulk/${encodeURIComponent(id)}` },
    body: await bulkJson(api, found),
    outcome: id,
  };
}

function storedFilter(action: BulkAction, filter: FilterJson, bounds: Parameters<typeof bulkFilter>[2]) {
  const { tag, ...others } = filterToJson(bulkFilter(action, filterOfJson(filter, bounds.until), bounds));
  return { ...(others as Record<string, string>), ...(tag !== undefined && { tag: typeof tag === 'string' ? tag : [...tag] }) };
}

function subjectOf(action: BulkAction, body: BulkBody): AuditSubject {
  return { action: `tasks.${action}${body.dry_run ? ' (dry run)' : ''}`, target: targetOf(body), reason: body.reason ?? null };
}

/** Returns what a bulk acts on, in one line. */
function targetOf({ filter, ids }: BulkBody): string {
  if (ids === undefined) return filterText(filter ?? {}) || 'all';
  return `${ids.length} tasks: ${ids.slice(0, SHOWN_IDS).join(', ')}${ids.length > SHOWN_IDS ? ', …' : ''}`;
}

const get = defineRoute({
  method: 'get',
  path: '/bulk/{id}',
  role: 'submitter',
  operation: 'getBulk',
  summary: 'Read a stop or retry of many tasks',
  description: "The caller's own; operators without item patterns read all of them.",
  params: byId,
  replies: { 200: { about: 'The bulk.', schema: bulk } },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND'],
  handle: async ({ api, principal, params: { id } }) => ({
    status: 200,
    body: await bulkJson(api, await findBulk(api, principal, id)),
  }),
});

const receipts = defineRoute({
  method: 'get',
  path: '/bulk/{id}/receipts',
  role: 'submitter',
  operation: 'listBulkReceipts',
  summary: 'List the receipts of a bulk',
  description: 'One for each task, in the order of the acts; at most 100,000 are kept.',
  params: byId,
  query: z.strictObject({
    after: wholeText(0, 1_000_000, 'The `next` of the previous page.').optional(),
    limit: wholeText(1, MAX_PAGE_SIZE, 'Maximum number of receipts. Default 100.').optional(),
  }),
  replies: { 200: { about: 'A page of receipts.', schema: bulkReceipts } },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND'],
  handle: async ({ api, principal, params: { id }, query: { after: from = 0, limit = 100 } }) => {
    const { action } = await findBulk(api, principal, id);
    const page = await readReceipts(api.store, { id, action, from, limit });
    return { status: 200, body: { receipts: page.receipts.map(bulkReceiptToJson), next: page.more ? String(from + limit) : null } };
  },
});

const stop = defineRoute({
  method: 'post',
  path: '/bulk/{id}/stop',
  role: 'submitter',
  operation: 'stopBulk',
  summary: 'End a bulk between two pages of its tasks',
  description: 'What it has done stays. A retry of its task continues it.',
  params: byId,
  body: z.strictObject({ reason: reason.optional() }),
  replies: {
    200: { about: 'The bulk had not begun, and is cancelled.', schema: receipt },
    202: { about: 'Requested: it ends after its present page.', schema: receipt },
  },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND', 'TASK_FINISHED', 'NOT_REPLICATED'],
  audit: ({ params, body }) => ({ action: 'bulk.stop', target: params.id, reason: body.reason ?? null }),
  handle: async ({ api, principal, params: { id }, body }) => {
    await findBulk(api, principal, id);
    const stopped = await api.producer.stop(id, { reason: body.reason, by: principal.name });
    if (stopped.outcome === 'finished')
      throw new FleetError('TASK_FINISHED', `Bulk ${id} already ${stopped.endedAs ?? 'finished'}.`, {
        details: { receipt: receiptToJson(stopped) },
      });
    return { status: stopped.outcome === 'requested' ? 202 : 200, body: receiptToJson(stopped), outcome: stopped.outcome };
  },
});

export const bulkRoutes: readonly Route[] = [
  startRoute('stop', {
    role: 'submitter',
    summary: 'Stop all live tasks that a filter selects',
    who: 'Requires the role operator, or submitter with item patterns, which then limit the tasks.',
  }),
  startRoute('retry', { role: 'operator', summary: 'Retry all failed tasks that a filter selects', who: "Limited to the caller's items." }),
  get,
  receipts,
  stop,
];
