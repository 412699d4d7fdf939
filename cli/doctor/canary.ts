import { setTimeout as sleep } from 'node:timers/promises';
import type { StopReceipt } from '../../producer/index.js';
import { formatMs } from '../../shared/duration.js';
import { fleetCanary } from '../../shared/task/builtin/index.js';
import type { FleetClient } from '../client.js';
import { type Check, fail, ok } from './check.js';

const START_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 10_000;
/** Long enough to be stopped; should the doctor die, the canary ends by itself. */
const RUN_MS = 60_000;
const BY = { by: 'taskfleet doctor', reason: 'canary' } as const;

type CanaryClient = Pick<FleetClient, 'enqueue' | 'stop' | 'events'>;

/**
 * Sends a canary through the real fleet: times enqueue → start, then stop → cancelled. It never stays behind.
 * @param startLimitMs how long a worker may take to start it. Default 10,000
 */
export async function checkCanary(client: CanaryClient, signal: AbortSignal, startLimitMs = START_LIMIT_MS): Promise<Check[]> {
  const sentAt = performance.now();
  const { id } = await client.enqueue(fleetCanary, { run_ms: RUN_MS, mode: 'cooperative' });
  const started = await untilRunning(client, id, signal, startLimitMs).catch(async (error: unknown) => {
    await client.stop([id], BY);
    throw error;
  });
  const startMs = performance.now() - sentAt;
  const askedAt = performance.now();
  const [receipt] = await client.stop([id], { ...BY, waitMs: started ? STOP_LIMIT_MS : 0 });
  if (!started) {
    const message = `no worker took ${id} within ${formatMs(startLimitMs)}; it was stopped again`;
    return [
      fail(
        'canary start',
        message,
        'Are workers alive with the same --redis and --prefix, and do they have a free slot for the queue "fleet"?',
      ),
    ];
  }
  const start = ok('canary start', `enqueue → running in ${formatMs(startMs)}`);
  const stopMs = performance.now() - askedAt;
  const { outcome, via } = receipt as StopReceipt;
  if (outcome === 'cancelled') return [start, ok('canary stop', `stop → cancelled in ${formatMs(stopMs)}, via ${via ?? 'unknown'}`)];
  const advice = `The stop is recorded and holds. See: taskfleet task show ${id}`;
  return [start, fail('canary stop', `not cancelled after ${formatMs(stopMs)} (${outcome})`, advice)];
}

/** False if the time is over first. */
async function untilRunning(client: CanaryClient, id: string, signal: AbortSignal, limitMs: number): Promise<boolean> {
  const over = new AbortController();
  const late = sleep(limitMs, false, { signal: AbortSignal.any([over.signal, signal]) });
  const running = (async (): Promise<boolean> => {
    for await (const event of client.events(id, { signal: over.signal }))
      if (event.type === 'state' && event.state === 'running') return true;
    return false;
  })();
  try {
    return await Promise.race([running, late]);
  } finally {
    over.abort();
    await Promise.allSettled([running, late]);
  }
}
