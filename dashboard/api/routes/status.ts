import { z } from 'zod';
import { readPausedQueues } from '../../../shared/queue/paused-queues.js';
import type { Store } from '../../../shared/store.js';
import type { ApiContext } from '../context.js';
import { type Route, defineRoute } from '../route.js';
import { time } from '../schemas/fields.js';

const text = z.string().nullable();

const status = z
  .strictObject({
    paused_queues: z.array(
      z.strictObject({
        name: z.string(),
        at: time.nullable(),
        by: text,
        reason: text,
      }),
    ),
    failed_last_hour: z
      .int()
      .min(0)
      .nullable()
      .meta({ description: 'Tasks that failed in the last hour; null for a caller with item patterns.' }),
  })
  .meta({ id: 'FleetStatus' });

export type FleetStatus = z.output<typeof status>;

/** Every open page asks: they share a reading for this time, in ms. */
const SHARED_MS = 2_000;

interface Reading {
  readonly at: number;
  readonly status: Promise<FleetStatus>;
}

const readings = new WeakMap<Store, Reading>();

const readStatus = defineRoute({
  method: 'get',
  path: '/status',
  role: 'viewer',
  operation: 'readStatus',
  summary: 'Read what every page shows: paused queues and recent failures',
  description: 'A 503 says that Redis does not answer. Cheap: pages ask every few seconds.',
  replies: { 200: { about: 'The state of the fleet.', schema: status } },
  handle: async ({ api, principal }) => {
    const read = await sharedStatus(api);
    return { status: 200, body: principal.items === null ? read : { ...read, failed_last_hour: null } };
  },
});

function sharedStatus({ store, overview }: ApiContext): Promise<FleetStatus> {
  const last = readings.get(store);
  if (last && performance.now() - last.at < SHARED_MS) return last.status;
  const read = readFleet(store, overview);
  readings.set(store, { at: performance.now(), status: read });
  read.catch(() => readings.delete(store));
  return read;
}

async function readFleet(store: Store, overview: ApiContext['overview']): Promise<FleetStatus> {
  const [paused, failed] = await Promise.all([readPausedQueues(store), overview.countFailed()]);
  return {
    paused_queues: [...paused].map(([name, { by, at, reason }]) => ({ name, at: at?.toISOString() ?? null, by, reason })),
    failed_last_hour: failed,
  };
}

export const statusRoutes: readonly Route[] = [readStatus];
