import { type WorkerMessage, tellParent } from '../worker/main.js';
import { isFleetError, messageOf } from '../shared/errors.js';
import { exitCodeOf } from './exit-codes.js';

/** What a supervised process tells the one that started it, over IPC: a worker with its id, a dashboard with its URL. */
export type ChildMessage = WorkerMessage;

/**
 * Runs a command that `taskfleet up` may have started, and ends the process with the code it resolves with: what was given up may
 * still hold the process. If it cannot run, the parent says so, once for all of its children.
 * @throws what `run` throws, in a process of its own
 */
export async function runAsChild(supervised: boolean, run: () => Promise<number>): Promise<never> {
  try {
    process.exit(await run());
  } catch (error) {
    if (!supervised) throw error;
    await tellParent({ type: 'failed', code: isFleetError(error) ? error.code : null, message: messageOf(error) });
    process.exit(exitCodeOf(error));
  }
}
