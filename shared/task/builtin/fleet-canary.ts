import { z } from 'zod';
import { defineTask } from '../definition.js';

const canaryMode = z.enum(['cooperative', 'deaf', 'spin']);
const fleetCanaryInput = z.strictObject({
  run_ms: z.int().min(0).max(3_600_000).default(1_000),
  mode: canaryMode.default('cooperative'),
});

const fleetCanaryOutput = z.strictObject({ ran_ms: z.number().min(0), mode: canaryMode });

/** What the handler of {@link fleetCanary} gets. */
export type FleetCanaryInput = z.output<typeof fleetCanaryInput>;
export type FleetCanaryOutput = z.output<typeof fleetCanaryOutput>;

/**
 * Does nothing for `run_ms` (default 1,000), in one of three ways, to try what the fleet does with it: `cooperative`
 * (default) honours the signal, `deaf` waits without looking at it, `spin` burns a CPU in a thread of its own.
 * The output has the time that it really took in ms.
 */
export const fleetCanary = defineTask({
  name: 'fleet.canary',
  queue: 'fleet',
  input: fleetCanaryInput,
  output: fleetCanaryOutput,
  retry: { attempts: 5, backoff: { type: 'fixed', delayMs: 100, jitter: 0 } },
  retention: { completed: { ageMs: 3_600_000, count: 1_000 }, failed: { ageMs: 24 * 3_600_000, count: 1_000 } },
});
