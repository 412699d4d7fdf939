import { z } from 'zod';
import { defineTask } from '../../../../shared/task/definition.js';
import { built } from '../../../support/process/built.js';
import { KEEP } from '../../../support/task/keep.js';

/**
 * The behaviour of a task of the load.
 * - `run` works for `ms` and heeds its signal; `hold` does until it is stopped; `deaf` does not heed it
 * - `retry` fails once, `fail` each time, after `ms`
 * - `block` blocks its worker's event loop for `ms`, `spin` that of a thread
 */
export type LoadKind = 'run' | 'hold' | 'deaf' | 'retry' | 'fail' | 'block' | 'spin';

/** The handler is in fault-tasks.mjs. */
export const loadTask = defineTask({
  name: 'fault.task',
  input: z.object({ kind: z.enum(['run', 'hold', 'deaf', 'retry', 'fail', 'block', 'spin']), ms: z.number() }),
  output: z.number(),
  retry: { attempts: 3, backoff: { type: 'fixed', delayMs: 100, jitter: 0 } },
  retention: KEEP,
  onWorkerLost: { retries: 100 },
});

/** For `TASK_MODULES` of the workers. */
export const LOAD_MODULE = built('test/slow/faults/load/fault-tasks.mjs');

/** The final state of each kind without a stop. */
export function endOf(kind: LoadKind): 'completed' | 'failed' | null {
  if (kind === 'hold') return null;
  return kind === 'fail' ? 'failed' : 'completed';
}
