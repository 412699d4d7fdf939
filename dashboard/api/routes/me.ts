import { z } from 'zod';
import { sessionOf } from '../../auth/authenticate.js';
import { csrfTokenOf } from '../../auth/cross-site.js';
import { ROLES } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';

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

export const meRoutes: readonly Route[] = [readMe];
