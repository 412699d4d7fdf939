import { z } from 'zod';
import { FleetError } from '../../../../shared/errors.js';
import { problemOfItem } from '../../../../shared/keys.js';
import { MAX_ITEM_LENGTH } from '../../../../shared/limits.js';
import { readHistory } from '../../../metrics/history.js';
import { type Route, defineRoute } from '../../route.js';
import { text, time, wholeText } from '../../schemas/fields.js';

/** Null if unknown. */
const ms = z.number().min(0).nullable();

const tasks = z.int().min(0);

const stats = z
  .strictObject({
    minutes: z.array(
      z.strictObject({
        at: time,
        completed: tasks,
        failed: tasks,
        cancelled: tasks,
        skipped: tasks,
        stop_p50_ms: ms,
        stop_p99_ms: ms,
      }),
    ),
  })
  .meta({
    id: 'Stats',
    description:
      'One entry per minute, oldest first; the last minute is incomplete. ' +
      'Stop latency is measured from the recorded stop to the end of the task.',
  });

const readStats = defineRoute({
  method: 'get',
  path: '/stats',
  role: 'viewer',
  operation: 'readStats',
  summary: 'Read finished tasks and stop latency of the last minutes',
  description: 'Covers all tasks; requires access to all items.',
  query: z.strictObject({ minutes: wholeText(1, 120, 'Number of minutes. Default 60.').optional() }),
  replies: { 200: { about: 'The last minutes.', schema: stats } },
  handle: async ({ api, principal, query }) => {
    if (principal.items !== null)
      throw new FleetError('FORBIDDEN', 'Statistics cover all tasks, but this caller may see certain items only.');
    return { status: 200, body: { minutes: await readHistory(api.store, query.minutes ?? 60) } };
  },
});

const usagePart = (description: string) =>
  text(problemOfItem, 'INVALID_INPUT').meta({ description, minLength: 1, maxLength: MAX_ITEM_LENGTH });

const listUsage = defineRoute({
  method: 'get',
  path: '/usage',
  role: 'viewer',
  operation: 'listModelsInUse',
  summary: 'List the models in use, as of the last clean-up',
  replies: { 200: { about: 'Model ids, sorted.', schema: z.strictObject({ models: z.array(z.string()) }).meta({ id: 'Usage' }) } },
  errors: ['MALFORMED_DATA'],
  handle: async ({ api }) => ({ status: 200, body: { models: await api.producer.usage.inUse() } }),
});

/** Not audited: sessions send it about every second, and it changes nothing of interest to an audit. */
const touchUsage = defineRoute({
  method: 'put',
  path: '/usage/{model}/{session}',
  role: 'submitter',
  operation: 'touchUsage',
  summary: 'Report that a session is using a model',
  description: 'Repeat before `USAGE_POOL_TIMEOUT` expires. Encode slashes as `%2F`.',
  params: z.strictObject({ model: usagePart('The id of the model.'), session: usagePart('The id of the session.') }),
  replies: { 204: { about: 'Recorded.', schema: null } },
  errors: ['INVALID_INPUT', 'MALFORMED_DATA'],
  handle: async ({ api, params: { model, session } }) => {
    await api.producer.usage.touch(model, session);
    return { status: 204 };
  },
});

/** The state of the fleet: statistics, models in use. */
export const fleetRoutes: readonly Route[] = [readStats, listUsage, touchUsage];
