import { z } from 'zod';
import { FleetError } from '../../../shared/errors.js';
import type { Principal } from '../../auth/principal.js';
import { RANGE_NAMES } from '../../overview/history.js';
import { type Route, defineRoute } from '../route.js';
import { name } from '../schemas/fields.js';
import { history, overview } from '../schemas/overview.js';

const readOverview = defineRoute({
  method: 'get',
  path: '/overview',
  role: 'viewer',
  operation: 'readOverview',
  summary: 'Read the state of the fleet, and what needs attention',
  description: 'Covers all tasks; requires access to all items. The cost grows with queues and workers, not with tasks.',
  replies: { 200: { about: 'The overview.', schema: overview } },
  handle: async ({ api, principal }) => {
    requireAllItems(principal);
    return { status: 200, body: await api.overview.read() };
  },
});

const readHistory = defineRoute({
  method: 'get',
  path: '/history',
  role: 'viewer',
  operation: 'readHistory',
  summary: 'Read finished tasks, run time, wait and stop latency over an hour, a day or a week',
  description: 'Covers all tasks; requires access to all items.',
  query: z.strictObject({
    range: z
      .enum(RANGE_NAMES)
      .optional()
      .meta({ description: 'Default `1h`, in steps of a minute; `24h` of ten minutes, `7d` of an hour.' }),
    name: name.optional().meta({ description: 'Limits total and points to a task name. Default: all.' }),
  }),
  replies: { 200: { about: 'The history.', schema: history } },
  handle: async ({ api, principal, query }) => {
    requireAllItems(principal);
    return { status: 200, body: await api.overview.history(query.range ?? '1h', query.name ?? null) };
  },
});

/** @throws FleetError `FORBIDDEN` for callers with item patterns */
function requireAllItems({ name: caller, items }: Principal): void {
  if (items !== null) throw new FleetError('FORBIDDEN', `The overview covers all tasks, but ${caller} may see certain items only.`);
}

/** The state of the fleet at a glance. */
export const overviewRoutes: readonly Route[] = [readOverview, readHistory];
