import { randomInt, randomUUID } from 'node:crypto';
import { readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { type ProcessIdentity, identifyThisProcess, isRunning } from './process-identity.js';

/**
 * A file that announces to other processes on this machine that this process holds something:
 * `<path>.<pid>.<process start>.<random>`. The file of a dead process is void, and the next reader removes it.
 */
export class Announcement {
  readonly #path: string;
  readonly #name: string;

  private constructor(path: string, self: ProcessIdentity) {
    this.#path = path;
    this.#name = `${basename(path)}.${self.pid}.${encodeURIComponent(self.started)}.${randomUUID()}`;
  }

  /** Prepares an announcement of this process, which may make several with the same path. */
  static async prepare(path: string): Promise<Announcement> {
    return new Announcement(path, await identifyThisProcess());
  }

  /** Writes the file, or replaces its content. Its folder must exist. */
  async make(content = ''): Promise<void> {
    await writeFile(this.#file, content, { mode: 0o600 });
  }

  /** Removes the file; may be called again. */
  async withdraw(): Promise<void> {
    await rm(this.#file, { force: true });
  }

  /** Returns the live processes of all other announcements of the path, with the content. Removes the files of dead ones. */
  async others(): Promise<(ProcessIdentity & { readonly content: string })[]> {
    const prefix = `${basename(this.#path)}.`;
    const folder = dirname(this.#path);
    const living: (ProcessIdentity & { readonly content: string })[] = [];
    for (const name of await readdir(folder)) {
      if (name === this.#name || !name.startsWith(prefix)) continue;
      const holder = parseHolder(name.slice(prefix.length));
      if (holder === null) continue;
      if (await isRunning(holder)) living.push({ ...holder, content: await readFile(join(folder, name), 'utf8').catch(() => '') });
      else await rm(join(folder, name), { force: true });
    }
    return living;
  }

  get #file(): string {
    return join(dirname(this.#path), this.#name);
  }
}

function parseHolder(text: string): ProcessIdentity | null {
  const match = /^(?<pid>\d+)\.(?<started>[^.]*)\.[0-9a-f-]{36}$/.exec(text);
  return match?.groups ? { pid: Number(match.groups['pid']), started: decodeURIComponent(match.groups['started'] ?? '') } : null;
}

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

/** The content of `server.json` in a data folder: the folder's redis-server. */
interface ServerState {
  /** Null between the choice of the port and the start of the process. */
  readonly pid: number | null;
  readonly port: number;
  readonly url: string;
  /** Start time of the process: see {@link ProcessIdentity}. */
  readonly started: string | null;
}

const schema = z.object({
  pid: z.int().positive().nullable(),
  port: z.int().min(1).max(65_535),
  url: z.string(),
  started: z.string().nullable(),
});

/** Reads the state file; null if it is missing or unreadable, which counts as stale. */
export async function readState(dir: string): Promise<ServerState | null> {
  try {
    return schema.parse(JSON.parse(await readFile(fileIn(dir), 'utf8')));
  } catch {
    return null;
  }
}

/** Replaces the state file atomically. */
export async function writeState(dir: string, state: ServerState): Promise<void> {
  const temporary = `${fileIn(dir)}.${randomUUID()}`;
  await writeFile(temporary, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  await rename(temporary, fileIn(dir));
}

/** Removes the state file if it still refers to the server. */
export async function removeState(dir: string, server: ProcessIdentity): Promise<void> {
  const state = await readState(dir);
  if (state?.pid === server.pid && state.started === server.started) await rm(fileIn(dir), { force: true });
}

/** Returns the server's process, which may have exited. */
export function serverOf({ pid, started }: ServerState): ProcessIdentity | null {
  return pid === null || started === null ? null : { pid, started };
}

export function urlOf(port: number): string {
  return `redis://127.0.0.1:${port}`;
}

function fileIn(dir: string): string {
  return join(dir, 'server.json');
}
