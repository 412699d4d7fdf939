import { z } from 'zod';
import { limitToJson } from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import { problemOfItem, quote } from '../../../shared/keys.js';
import { MAX_PLACES } from '../../../shared/limiter/policy.js';
import { MAX_ITEM_LENGTH, MAX_PAGE_SIZE } from '../../../shared/limits.js';
import type { Principal } from '../../auth/principal.js';
import type { ApiContext } from '../context.js';
import { type Answer, type Route, defineRoute } from '../route.js';
import { text, time, wholeText } from '../schemas/fields.js';

const limit = z
  .strictObject({
    name: z.string().meta({ description: 'A task name, `group:<name>` for a shared limit, or for a fair queue `queue:<name>`.' }),
    key: z.string().nullable().meta({ description: 'Null for a limit on all tasks of the name; `*` for a limit on each key.' }),
    kind: z.enum(['concurrency', 'fair', 'rate']).meta({ description: 'The option of the definition that states it.' }),
    limit: z
      .number()
      .min(0)
      .nullable()
      .meta({ description: 'The limit that applies: running tasks; of a rate, starts or tokens in `per_ms`.' }),
    per_ms: z.number().nullable(),
    burst: z.number().nullable().meta({ description: 'What a rate admits at once after a pause.' }),
    source: z.enum(['definition', 'set']).meta({ description: '`set`: at run time.' }),
    running: z.int().min(0).meta({ description: 'Tasks that hold a place of the key.' }),
    waiting: z.int().min(0).meta({ description: 'Tasks in line.' }),
    waiting_since: time.nullable().meta({ description: 'Since when the key has had a line.' }),
    next_at: time.nullable().meta({ description: 'When a rate with a line admits its next task.' }),
    problem: z.string().nullable().meta({ description: 'What is unreadable in its records; null if nothing is.' }),
  })
  .meta({ id: 'Limit' });

export type Limit = z.output<typeof limit>;

const name = z.string().min(1).max(70).meta({ description: 'A task name, or `group:<name>`.', example: 'chat.completion' });
const key = text(problemOfItem, 'INVALID_OPTION').meta({
  description: 'The key; `*` for every key without a setting of its own. Encode slashes as `%2F`.',
  minLength: 1,
  maxLength: MAX_ITEM_LENGTH,
  example: 'chat:1',
});
const ofName = z.strictObject({ name });
const ofKey = z.strictObject({ name, key });
const setBody = z
  .strictObject({
    limit: z.int().min(0).max(MAX_PLACES).meta({ description: 'Tasks that may run at once. 0 lets no further task start.' }),
  })
  .meta({ id: 'SetLimit' });

const list = defineRoute({
  method: 'get',
  path: '/limits',
  role: 'viewer',
  operation: 'listLimits',
  summary: 'List limits, first the keys whose tasks have waited longest',
  description: 'Keys with a line, then what was set and what the workers publish. Covers all tasks; requires access to all items.',
  query: z.strictObject({
    name: name.optional(),
    after: z.string().min(1).max(500).optional().meta({ description: 'The `next` of the previous page.' }),
    limit: wholeText(1, MAX_PAGE_SIZE, 'Maximum number of limits. Default 100.').optional(),
  }),
  replies: {
    200: {
      about: 'A page of limits.',
      schema: z
        .strictObject({
          limits: z.array(limit),
          next: z
            .string()
            .nullable()
            .meta({ description: 'Pass as `after` for the next page; null on the last. A page may be short and still have a next one.' }),
        })
        .meta({ id: 'LimitPage' }),
    },
  },
  errors: ['INVALID_OPTION'],
  handle: async ({ api, principal, query }) => {
    requireAllItems(principal);
    const { limits, next } = await api.producer.limits.list(query);
    return { status: 200, body: { limits: limits.map(limitToJson), next } };
  },
});

const SET = {
  method: 'put',
  role: 'operator',
  description:
    'Wins over the definitions until it is cleared. Waiting tasks start at once; running tasks are not ended. ' +
    'Requires access to all items.',
  body: setBody,
  replies: { 200: { about: 'The limit.', schema: limit } },
  errors: ['INVALID_OPTION', 'LIMIT_NOT_FOUND'],
} as const;

const setOfName = defineRoute({
  ...SET,
  path: '/limits/{name}',
  operation: 'setLimit',
  summary: 'Set how many tasks of a name, or of a group, may run at once',
  params: ofName,
  audit: ({ params, body }) => ({ action: 'limit.set', target: `${params.name} ${body.limit}` }),
  handle: ({ api, principal, params, body }) => set(api, principal, { ...params, key: null }, body.limit),
});

const setOfKey = defineRoute({
  ...SET,
  path: '/limits/{name}/{key}',
  operation: 'setLimitOfKey',
  summary: 'Set how many tasks of a key may run at once',
  params: ofKey,
  audit: ({ params, body }) => ({ action: 'limit.set', target: `${params.name} ${params.key} ${body.limit}` }),
  handle: ({ api, principal, params, body }) => set(api, principal, params, body.limit),
});

const CLEAR = {
  method: 'delete',
  role: 'operator',
  description: 'The definitions decide again. Requires access to all items.',
  replies: { 204: { about: 'Cleared.', schema: null } },
  errors: ['INVALID_OPTION', 'LIMIT_NOT_FOUND'],
} as const;

const clearOfName = defineRoute({
  ...CLEAR,
  path: '/limits/{name}',
  operation: 'clearLimit',
  summary: 'Clear the limit that was set for all tasks of a name, or of a group',
  params: ofName,
  audit: ({ params }) => ({ action: 'limit.clear', target: params.name }),
  handle: ({ api, principal, params }) => clear(api, principal, { ...params, key: null }),
});

const clearOfKey = defineRoute({
  ...CLEAR,
  path: '/limits/{name}/{key}',
  operation: 'clearLimitOfKey',
  summary: 'Clear the limit that was set for a key',
  params: ofKey,
  audit: ({ params }) => ({ action: 'limit.clear', target: `${params.name} ${params.key}` }),
  handle: ({ api, principal, params }) => clear(api, principal, params),
});

interface Target {
  readonly name: string;
  readonly key: string | null;
}

async function set({ producer }: ApiContext, principal: Principal, target: Target, number: number): Promise<Answer> {
  requireAllItems(principal);
  const view = await producer.limits.set(target.name, target.key, number);
  return { status: 200, body: limitToJson(view), outcome: `limit ${number}` };
}

async function clear({ producer }: ApiContext, principal: Principal, target: Target): Promise<Answer> {
  requireAllItems(principal);
  if (await producer.limits.clear(target.name, target.key)) return { status: 204, outcome: 'cleared' };
  const { name: owner, key: of } = target;
  throw new FleetError('LIMIT_NOT_FOUND', `No limit is set for ${quote(owner)}${of === null ? '' : ` ${quote(of)}`}.`, {
    details: { ...target },
  });
}

/** A limit's line has the tasks of all items. @throws FleetError `FORBIDDEN` */
function requireAllItems({ items, name: caller }: Principal): void {
  if (items !== null) throw new FleetError('FORBIDDEN', `Limits cover all tasks, but ${caller} may see certain items only.`);
}

export const limitRoutes: readonly Route[] = [list, setOfName, setOfKey, clearOfName, clearOfKey];
