import { readdir, rm, writeFile } from 'node:fs/promises';
import { randomInt, randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ProcessIdentity, identifyThisProcess, isRunning } from './process-identity.js';

/** Lets go of a lock; may be called again. */
export type Unlock = () => Promise<void>;

/**
 * Takes a lock that one process on this machine, and one caller within it, holds at a time. The lock of a process that
 * has died is void. The lock is the file `<path>.<pid>.<start of the process>.<random>`; its folder must exist.
 *
 * Announce, then look: each puts a file with a name of its own, and holds the lock if no other live file is there then.
 * Of two that announce at once at least one sees the other and steps back. A single file with a fixed name would need
 * "if its owner is dead, remove it" in one step, and file systems have none: two that clean up could both get in.
 *
 * @returns null if it could not be had within `timeoutMs`.
 */
export async function takeLock(path: string, timeoutMs: number): Promise<Unlock | null> {
  const deadline = Date.now() + timeoutMs;
  const self = await identifyThisProcess();
  const mine = `${basename(path)}.${self.pid}.${encodeURIComponent(self.started)}.${randomUUID()}`;
  const file = join(dirname(path), mine);
  for (;;) {
    if (!(await isHeld(path, mine))) {
      await writeFile(file, '', { flag: 'wx', mode: 0o600 });
      if (!(await isHeld(path, mine))) return () => rm(file, { force: true });
      await rm(file, { force: true });
    }
    if (Date.now() >= deadline) return null;
    await delay(randomInt(5, 50));
  }
}

/** True if a live process other than the holder of `mine` has announced itself. Removes what the dead have left. */
async function isHeld(path: string, mine: string): Promise<boolean> {
  const prefix = `${basename(path)}.`;
  for (const name of await readdir(dirname(path))) {
    if (name === mine || !name.startsWith(prefix)) continue;
    const holder = parseHolder(name.slice(prefix.length));
    if (holder === null) continue;
    if (await isRunning(holder)) return true;
    await rm(join(dirname(path), name), { force: true });
  }
  return false;
}

function parseHolder(text: string): ProcessIdentity | null {
  const match = /^(?<pid>\d+)\.(?<started>[^.]*)\.[0-9a-f-]{36}$/.exec(text);
  return match?.groups ? { pid: Number(match.groups['pid']), started: decodeURIComponent(match.groups['started'] ?? '') } : null;
}
