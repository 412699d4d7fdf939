import type { Response } from 'express';
import { z } from 'zod';
import { FleetError } from '../../../shared/errors.js';
import {
  ITEM_TOKEN_ROLES,
  MAX_TOKEN_ITEMS,
  isItemTokenId,
  issueItemToken,
  problemOfTokenItem,
  readItemTokenById,
  revokeItemToken,
} from '../../../shared/records/item-token.js';
import { noteItem } from '../../auth/audit.js';
import { originOf, sessionOf } from '../../auth/authenticate.js';
import { CALLER_WAYS, type Principal, ROLES, checkMayUseItem, hasRole } from '../../auth/principal.js';
import { csrfTokenOf } from '../../auth/session/cookies.js';
import { type Route, defineRoute } from '../route.js';
import { name, text, time } from '../schemas/fields.js';

const me = z
  .strictObject({
    name: z.string(),
    role: z.enum(ROLES),
    items: z.array(z.string()).nullable().meta({ description: 'Patterns of visible items; null for all.' }),
    via: z.enum(CALLER_WAYS),
    csrf_token: z.string().nullable().meta({ description: 'The `X-CSRF-Token` for writes of a browser session; otherwise null.' }),
  })
  .meta({ id: 'Principal' });

export type Me = z.output<typeof me>;

const readMe = defineRoute({
  method: 'get',
  path: '/me',
  role: 'viewer',
  itemTokens: true,
  operation: 'readMe',
  summary: 'Read the caller and its permissions',
  replies: { 200: { about: 'The caller.', schema: me } },
  handle: ({ principal: { name: caller, role, items, via }, res }) => {
    const session = sessionOf(res);
    return Promise.resolve({ status: 200, body: { name: caller, role, items, via, csrf_token: session && csrfTokenOf(session.id) } });
  },
});

const tokenBody = z
  .strictObject({
    role: z.enum(ITEM_TOKEN_ROLES).meta({
      description: '`viewer` reads and follows tasks of the items; `operator` also stops and retries them, and enqueues `tasks`.',
    }),
    items: z
      .array(text(problemOfTokenItem, 'INVALID_ITEM'))
      .min(1)
      .max(MAX_TOKEN_ITEMS)
      .meta({ description: 'Exact items, without patterns.' }),
    tasks: z
      .array(name)
      .max(MAX_TOKEN_ITEMS)
      .optional()
      .meta({
        description: 'Names of tasks that the bearer may enqueue with one of the items. Requires the role operator. Default: none.',
        example: ['chat.completion'],
      }),
    expires_in: z.string().max(20).optional().meta({ description: 'A duration from `1s` to `1h`. Default `15m`.', example: '15m' }),
    name: z.string().max(64).optional().meta({
      description: "The bearer, added to the caller's name in the audit and as `by` of stops.",
      example: 'user-7',
    }),
  })
  .meta({ id: 'ItemTokenRequest' });

const issuedToken = z
  .strictObject({
    token: z.string().meta({ description: 'The bearer token. It cannot be read again.' }),
    id: z.string().meta({ description: 'Names the token in the audit; `DELETE /tokens/{id}` revokes it.' }),
    expires_at: time,
  })
  .meta({ id: 'ItemToken' });

const issueToken = defineRoute({
  method: 'post',
  path: '/tokens',
  role: 'viewer',
  operation: 'issueItemToken',
  summary: 'Issue a short-lived token for certain items',
  description:
    'For a browser that follows and stops the tasks of its own items and sees nothing else. Requires the role operator or, of a service, ' +
    'a token of `API_TOKENS`; the token gets at most the role and the items of the caller. The bearer of an item token cannot issue tokens.',
  body: tokenBody,
  replies: { 201: { about: 'The token.', schema: issuedToken } },
  errors: ['INVALID_ITEM', 'INVALID_OPTION', 'UNKNOWN_TASK'],
  audit: ({ body }) => ({ action: 'token.issue', target: body.items.join(', ') }),
  handle: async ({ api, principal, body: { role, items, tasks, expires_in: expiresIn, name: bearer }, res }) => {
    checkMayIssue(principal, role);
    for (const one of items) checkMayUseItem(principal, one);
    if (items.length === 1) noteItem(res, items[0] ?? null);
    for (const task of tasks ?? []) api.definitions.find(task, 'tasks');
    const issuer = { name: principal.name, origin: originOf(res) };
    const { token, id, expiresAt } = await issueItemToken(api.store, issuer, { role, items, tasks, expiresIn, name: bearer });
    return { status: 201, body: { token, id, expires_at: expiresAt.toISOString() }, outcome: id };
  },
});

/** @throws FleetError `FORBIDDEN` */
function checkMayIssue(principal: Principal, role: Principal['role']): void {
  if ((hasRole(principal, 'operator') || principal.via === 'token') && hasRole(principal, role)) return;
  throw new FleetError(
    'FORBIDDEN',
    `Requires the role operator, or a token of API_TOKENS with at least the role ${role}; ${principal.name} has the role ${principal.role}.`,
  );
}

const revokeToken = defineRoute({
  method: 'delete',
  path: '/tokens/{id}',
  role: 'viewer',
  operation: 'revokeItemToken',
  summary: 'Revoke a token for certain items',
  description: "The caller's own; admins who see all items revoke any. Open event streams of its bearer end within a second.",
  params: z.strictObject({ id: z.string().max(64).meta({ description: 'The `id` of the token.' }) }),
  replies: { 204: { about: 'Revoked.', schema: null } },
  errors: ['NOT_FOUND'],
  audit: ({ params }) => ({ action: 'token.revoke', target: params.id }),
  handle: async ({ api, principal, params: { id }, res }) => {
    const record = isItemTokenId(id) ? await readItemTokenById(api.store, id) : null;
    const revoked = record !== null && mayRevoke(principal, record, res) && (await revokeItemToken(api.store, id));
    if (!revoked) throw new FleetError('NOT_FOUND', `Token ${id} not found: it has expired, or another caller issued it.`);
    return { status: 204, outcome: 'revoked' };
  },
});

function mayRevoke(
  principal: Principal,
  { name: issued, origin }: { readonly name: string; readonly origin: string },
  res: Response,
): boolean {
  if (principal.items === null && hasRole(principal, 'admin')) return true;
  return origin === originOf(res) && (issued === principal.name || issued.startsWith(`${principal.name}/`));
}

export const accountRoutes: readonly Route[] = [readMe, issueToken, revokeToken];
