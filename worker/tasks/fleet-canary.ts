import { setTimeout as sleep } from 'node:timers/promises';
import { type FleetCanaryInput, fleetCanary } from '../../shared/task/builtin/index.js';
import { defineHandler, type TaskContext } from '../../shared/task/handler.js';

/** Longest time between two reports of progress. */
const PROGRESS_MS = 200;

/**
 * The handler of `fleet.canary`: three ways to pass `run_ms`, of which only `cooperative` ends when it is asked to.
 * `cooperative` and `deaf` report progress; `spin` says once that it has begun, and then does nothing but burn its thread.
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

/** Waits and reports the share of the time that is over. @throws the signal's reason as soon as it is aborted. */
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
