import { setTimeout as sleep } from 'node:timers/promises';
import { defineHandler, type TaskContext } from '../../../shared/task/handler.js';
import { type FleetCanaryInput, fleetCanary } from '../definitions.js';

/** Longest time between two progress reports, in ms. */
const PROGRESS_MS = 200;

/**
 * Creates the handler of `fleet.canary`: three ways to spend `run_ms`, of which only `cooperative` heeds an abort. `cooperative` and `deaf`
 * report progress; `spin` reports its start and then blocks its thread.
 */
export const fleetCanaryHandler = defineHandler(
  fleetCanary,
  async (context) => {
    const { run_ms: runMs, mode } = context.input;
    const startedAt = performance.now();
    const elapsed = () => performance.now() - startedAt;
    switch (mode) {
      case 'cooperative':
        await pass(context, elapsed, context.signal);
        break;
      case 'deaf':
        await pass(context, elapsed);
        break;
      case 'spin':
        context.progress(0);
        while (elapsed() < runMs);
        break;
      default:
        mode satisfies never;
    }
    return { ran_ms: Math.round(elapsed() * 10) / 10, mode };
  },
  { isolate: ({ mode }) => mode === 'spin' },
);

/**
 * Waits, and reports the share of the time passed.
 * @throws the signal's reason as soon as it is aborted
 */
async function pass(context: TaskContext<FleetCanaryInput>, elapsed: () => number, signal?: AbortSignal): Promise<void> {
  const runMs = context.input.run_ms;
  signal?.throwIfAborted();
  for (let left = runMs; left > 0; left = runMs - elapsed()) {
    context.progress(Math.floor((100 * (runMs - left)) / runMs));
    await sleep(Math.min(left, PROGRESS_MS), undefined, signal && { signal }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error;
    });
  }
  context.progress(100);
}
