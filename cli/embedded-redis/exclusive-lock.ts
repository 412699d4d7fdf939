import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Announcement } from './announcement.js';

/** Releases a lock; may be called again. */
export type Unlock = () => Promise<void>;

/**
 * Acquires a machine-wide lock, exclusive between processes and between callers in a process. The lock of a dead process is
 * void. The lock is an {@link Announcement}; the folder of `path` must exist.
 *
 * Announce, then look: each contender writes a file with a unique name, and holds the lock if there is no other live file.
 * Of two that announce at once, at least one sees the other and backs off. A single file with a fixed name would require an
 * atomic "remove it if its owner is dead", which file systems lack: two contenders cleaning up could both get the lock.
 *
 * @returns null if the lock was not acquired within `timeoutMs`
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
