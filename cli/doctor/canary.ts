import { setTimeout as sleep } from 'node:timers/promises';
import type { StopReceipt } from '../../producer/index.js';
import { formatMs } from '../../shared/time.js';
import { fleetCanary } from '../../worker/builtin/definitions.js';
import type { FleetClient } from '../client/client.js';
import { type Check, fail, ok } from './check.js';

const START_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 10_000;
/** Long enough to be stopped, short enough that the canary ends soon should the doctor die. */
const RUN_MS = 60_000;
const BY = { by: 'taskfleet doctor', reason: 'canary' } as const;

type CanaryClient = Pick<FleetClient, 'enqueue' | 'stop' | 'events'>;

/**
 * Runs a canary task: times enqueue → start, then stop → cancelled. Always stops the canary.
 * @param startLimitMs longest wait for a worker to start it, in ms. Default 10,000
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
    const message = `no worker took ${id} within ${formatMs(startLimitMs)}; the canary was stopped`;
    return [
      fail(
        'canary start',
        message,
        'Check that workers with the same --redis and --prefix are alive and have a free slot for the queue "fleet" (see WORKER_QUEUES and BUILTIN_TASKS).',
      ),
    ];
  }
  const start = ok('canary start', `enqueue → running in ${formatMs(startMs)}`);
  const stopMs = performance.now() - askedAt;
  const { outcome, via } = receipt as StopReceipt;
  if (outcome === 'cancelled') return [start, ok('canary stop', `stop → cancelled in ${formatMs(stopMs)}, via ${via ?? 'unknown'}`)];
  const advice = `The stop is recorded and will take effect. See: taskfleet task show ${id}`;
  return [start, fail('canary stop', `not cancelled after ${formatMs(stopMs)} (${outcome})`, advice)];
}

/** Returns false on a timeout. */
async function untilRunning(client: CanaryClient, id: string, signal: AbortSignal, limitMs: number): Promise<boolean> {
  const done = new AbortController();
  const timeout = sleep(limitMs, false, { signal: AbortSignal.any([done.signal, signal]) });
  const running = (async (): Promise<boolean> => {
    for await (const event of client.events(id, { signal: done.signal }))
      if (event.type === 'state' && event.state === 'running') return true;
    return false;
  })();
  try {
    return await Promise.race([running, timeout]);
  } finally {
    done.abort();
    await Promise.allSettled([running, timeout]);
  }
}
