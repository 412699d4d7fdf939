import { z } from 'zod';
import { FleetError } from '../../../shared/errors.js';
import { MAX_PAGE_SIZE } from '../../../shared/limits.js';
import { auditToJson, isAuditCursor, readAudit, seesRecord } from '../../auth/audit-log.js';
import { sessionOf } from '../../auth/authenticate.js';
import { csrfTokenOf } from '../../auth/cookies.js';
import { ROLES } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { time, wholeText } from '../schemas/fields.js';

const me = z
  .strictObject({
    name: z.string(),
    role: z.enum(ROLES),
    items: z.array(z.string()).nullable().meta({ description: 'Patterns of visible items; null for all.' }),
    via: z.enum(['token', 'jwt', 'session', 'local']),
    csrf_token: z.string().nullable().meta({ description: 'The `X-CSRF-Token` for writes of a browser session; otherwise null.' }),
  })
  .meta({ id: 'Principal' });

export type Me = z.output<typeof me>;

const readMe = defineRoute({
  method: 'get',
  path: '/me',
  role: 'viewer',
  operation: 'readMe',
  summary: 'Read the caller and its permissions',
  replies: { 200: { about: 'The caller.', schema: me } },
  handle: ({ principal: { name, role, items, via }, res }) => {
    const session = sessionOf(res);
    return Promise.resolve({ status: 200, body: { name, role, items, via, csrf_token: session && csrfTokenOf(session.id) } });
  },
});

const text = z.string().nullable();

const record = z
  .strictObject({
    ...{ id: z.string(), at: time, request_id: text, name: text, issuer: text, role: z.enum(ROLES).nullable(), via: text, address: text },
    ...{ action: z.string(), target: text, item: text, reason: text, outcome: z.enum(['allowed', 'denied']) },
    result: z.string().meta({ description: 'The outcome, or the error code of the refusal.' }),
  })
  .meta({ id: 'AuditRecord' });

const readAuditPage = defineRoute({
  method: 'get',
  path: '/audit',
  role: 'admin',
  operation: 'readAudit',
  summary: 'Read the audit: allowed and denied writes',
  description: 'A caller with item patterns sees its own writes and those about visible items.',
  query: z.strictObject({
    after: z.string().min(1).max(64).optional().meta({ description: 'The `next` of the previous page.' }),
    limit: wholeText(1, MAX_PAGE_SIZE, 'Maximum number of records. Default 100.').optional(),
  }),
  replies: {
    200: { about: 'A page, newest first.', schema: z.strictObject({ records: z.array(record), next: text }).meta({ id: 'AuditPage' }) },
  },
  errors: ['INVALID_OPTION'],
  handle: async ({ api, principal, query: { after = null, limit = 100 } }) => {
    if (after !== null && !isAuditCursor(after))
      throw new FleetError('INVALID_OPTION', 'Bad after: expected the `next` of a page.', { details: { field: 'after' } });
    const { records, next } = await readAudit(api.store, { after, limit, sees: seesRecord(principal) });
    return { status: 200, body: { records: records.map(auditToJson), next } };
  },
});

export const accountRoutes: readonly Route[] = [readMe, readAuditPage];
