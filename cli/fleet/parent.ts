import { type WorkerMessage, tellParent } from '../../worker/main.js';
import { isFleetError, messageOf } from '../../shared/errors.js';
import { exitCodeOf } from '../exit-codes.js';
import { goOnWithoutOutput } from '../text/output.js';

/** An IPC message from a supervised process to its parent. `alive` shows that its event loop turns. */
export type ChildMessage = WorkerMessage | { readonly type: 'alive' };

const ALIVE_MS = 1_000;

/**
 * Runs a command that `taskfleet up` may have started, then exits with the resulting code, even if abandoned handlers keep the
 * process alive. A supervised process reports a start-up error to its parent, which prints it once for all children.
 * @throws what `run` throws, if the process is not supervised
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

/** Sends a beat every second, starting before the first task module is loaded, because loading may hang too. */
function sayAlive(): void {
  const say = (): void => {
    if (process.connected) process.send?.({ type: 'alive' } satisfies ChildMessage);
  };
  say();
  setInterval(say, ALIVE_MS).unref();
}
