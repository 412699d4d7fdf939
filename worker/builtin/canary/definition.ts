import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';

const canaryMode = z.enum(['cooperative', 'deaf', 'spin']);
const fleetCanaryInput = z.strictObject({
  run_ms: z.int().min(0).max(3_600_000).default(1_000),
  mode: canaryMode.default('cooperative'),
});

const fleetCanaryOutput = z.strictObject({ ran_ms: z.number().min(0), mode: canaryMode });

/** The parsed input of {@link fleetCanary}. */
export type FleetCanaryInput = z.output<typeof fleetCanaryInput>;
export type FleetCanaryOutput = z.output<typeof fleetCanaryOutput>;

/**
 * Does nothing for `run_ms` (default 1,000), to test the fleet: `cooperative` (default) obeys the signal, `deaf` ignores it, `spin`
 * keeps a CPU busy in a separate thread. The output has the actual run time in ms.
 */
export const fleetCanary = defineTask({
  name: 'fleet.canary',
  queue: 'fleet',
  input: fleetCanaryInput,
  output: fleetCanaryOutput,
  retry: { attempts: 5, backoff: { type: 'fixed', delayMs: 100, jitter: 0 } },
  retention: { failed: { ageMs: 24 * 3_600_000, count: 1_000 } },
});
