import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Announcement } from './announcement.js';

/** Lets go of a lock; may be called again. */
export type Unlock = () => Promise<void>;

/**
 * Takes a lock that one process on this machine, and one caller within it, holds at a time. The lock of a process that
 * has died is void. The lock is an {@link Announcement}; the folder of `path` must exist.
 *
 * Announce, then look: each puts a file with a name of its own, and holds the lock if no other live file is there then.
 * Of two that announce at once at least one sees the other and steps back. A single file with a fixed name would need
 * "if its owner is dead, remove it" in one step, and file systems have none: two that clean up could both get in.
 *
 * @returns null if it could not be had within `timeoutMs`.
 */
export async function takeLock(path: string, timeoutMs: number): Promise<Unlock | null> {
  const deadline = Date.now() + timeoutMs;
  const mine = await Announcement.prepare(path);
  for (;;) {
    if ((await mine.others()).length === 0) {
      await mine.make();
      if ((await mine.others()).length === 0) return () => mine.withdraw();
      await mine.withdraw();
    }
    if (Date.now() >= deadline) return null;
    await delay(randomInt(5, 50));
  }
}
