import { type WorkerMessage, tellParent } from '../worker/main.js';
import { isFleetError, messageOf } from '../shared/errors.js';
import { exitCodeOf } from './exit-codes.js';
import { goOnWithoutOutput } from './output.js';

/** What a supervised process tells the one that started it, over IPC: a worker with its id, a dashboard with its URL; that its event loop turns. */
export type ChildMessage = WorkerMessage | { readonly type: 'alive' };

const ALIVE_MS = 1_000;

/**
 * Runs a command that `taskfleet up` may have started, and ends the process with the code it resolves with: what was given up may
 * still hold the process. If it cannot run, the parent says so, once for all of its children.
 * @throws what `run` throws, in a process of its own
 */
export async function runAsChild(supervised: boolean, run: () => Promise<number>): Promise<never> {
  if (supervised) sayAlive();
  goOnWithoutOutput();
  try {
    process.exit(await run());
  } catch (error) {
    if (!supervised) throw error;
    await tellParent({ type: 'failed', code: isFleetError(error) ? error.code : null, message: messageOf(error) });
    process.exit(exitCodeOf(error));
  }
}

/** Once a second, from before the first module of tasks is loaded: also that may hang. */
function sayAlive(): void {
  const say = (): void => {
    if (process.connected) process.send?.({ type: 'alive' } satisfies ChildMessage);
  };
  say();
  setInterval(say, ALIVE_MS).unref();
}
