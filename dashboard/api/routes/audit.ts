import { z } from 'zod';
import { FleetError } from '../../../shared/errors.js';
import { MAX_FILTER_LENGTH, MAX_PAGE_SIZE } from '../../../shared/limits.js';
import { parseTime } from '../../../shared/task/filter/filter-json.js';
import { type AuditFilter, matchesAudit } from '../../auth/audit-filter.js';
import { auditToJson, isAuditCursor, readAudit, seesRecord } from '../../auth/audit-log.js';
import { ROLES } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { time, wholeText } from '../schemas/fields.js';

const text = z.string().nullable();

const record = z
  .strictObject({
    ...{ id: z.string(), at: time, request_id: text, name: text, issuer: text, role: z.enum(ROLES).nullable(), via: text, address: text },
    ...{ action: z.string(), target: text, item: text, reason: text, outcome: z.enum(['allowed', 'denied']) },
    result: z.string().meta({ description: 'The outcome, or the error code of the refusal.' }),
  })
  .meta({ id: 'AuditRecord' });

export type AuditRecordJson = z.output<typeof record>;

const page = z.strictObject({ records: z.array(record), next: text }).meta({ id: 'AuditPage' });

export type AuditPageJson = z.output<typeof page>;

const condition = z.string().min(1).max(MAX_FILTER_LENGTH).optional();
const START = 'Exactly this, or with `*` at its end, its start. ASCII case is ignored.';
const moment = (about: string) => condition.meta({ description: `${about}: ISO 8601, or a duration back from now, such as \`1h\`.` });

const query = z.strictObject({
  name: condition.meta({ description: `The name of the caller. ${START}` }),
  action: condition.meta({ description: `The action. ${START}`, example: 'task.*' }),
  outcome: z.enum(['allowed', 'denied']).optional(),
  target: condition.meta({ description: `The target or the item: a task, an item, a schedule, a queue. ${START}` }),
  since: moment('Written at this time or later'),
  until: moment('Written at this time or earlier'),
  after: z.string().min(1).max(64).optional().meta({ description: 'The `next` of the previous page.' }),
  limit: wholeText(1, MAX_PAGE_SIZE, 'Maximum number of records. Default 100.').optional(),
});

const readAuditPage = defineRoute({
  method: 'get',
  path: '/audit',
  role: 'admin',
  operation: 'readAudit',
  summary: 'Read the audit: allowed and denied writes',
  description: 'A caller with item patterns sees its own writes and those about visible items.',
  query,
  replies: { 200: { about: 'A page, newest first.', schema: page } },
  errors: ['INVALID_OPTION'],
  handle: async ({ api, principal, query: { after = null, limit = 100, ...conditions } }) => {
    if (after !== null && !isAuditCursor(after))
      throw new FleetError('INVALID_OPTION', 'Bad after: expected the `next` of a page.', { details: { field: 'after' } });
    const filter = filterOf(conditions, api.store.clock.now());
    const sees = seesRecord(principal);
    const isFiltered = sees !== undefined || Object.values(filter).some((value) => value !== null);
    const { records, next } = await readAudit(api.store, {
      ...{ after, limit, since: filter.since, until: filter.until },
      sees: isFiltered ? (one) => matchesAudit(one, filter) && (sees?.(one) ?? true) : undefined,
    });
    return { status: 200, body: { records: records.map(auditToJson), next } };
  },
});

/** @throws FleetError `INVALID_OPTION` for a bad time */
function filterOf(
  { name, action, outcome, target, since, until }: Omit<z.output<typeof query>, 'after' | 'limit'>,
  now: number,
): AuditFilter {
  return {
    ...{ name: name ?? null, action: action ?? null, outcome: outcome ?? null, target: target ?? null },
    since: since === undefined ? null : parseTime('since', since, now).getTime(),
    until: until === undefined ? null : parseTime('until', until, now).getTime(),
  };
}

export const auditRoutes: readonly Route[] = [readAuditPage];
