import { z } from 'zod';
import { FleetError } from '../../../shared/errors.js';
import { readHistory } from '../../metrics/history.js';
import { type Route, defineRoute } from '../route.js';
import { time, wholeText } from '../schemas/fields.js';

const statsCount = z.int().min(0);
const statsMs = z.number().min(0).nullable();

const stats = z
  .strictObject({
    minutes: z.array(
      z.strictObject({
        at: time,
        completed: statsCount,
        failed: statsCount,
        cancelled: statsCount,
        stop_p50_ms: statsMs,
        stop_p99_ms: statsMs,
      }),
    ),
  })
  .meta({
    id: 'Stats',
    description:
      'One entry per minute, oldest first; the last minute is incomplete. ' +
      'Stop latency is measured from the recorded stop to the end of the task.',
  });

export type Stats = z.output<typeof stats>;

const read = defineRoute({
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
    return { status: 200, body: { minutes: await readHistory(api.store(), query.minutes ?? 60) } };
  },
});

export const statsRoutes: readonly Route[] = [read];
