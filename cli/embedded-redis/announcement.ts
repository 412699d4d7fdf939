import { randomUUID } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
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

  /** Writes the file. Its folder must exist. */
  async make(): Promise<void> {
    await writeFile(this.#file, '', { flag: 'wx', mode: 0o600 });
  }

  /** Removes the file; may be called again. */
  async withdraw(): Promise<void> {
    await rm(this.#file, { force: true });
  }

  /** Returns the live processes of all other announcements of the path. Removes the files of dead ones. */
  async others(): Promise<ProcessIdentity[]> {
    const prefix = `${basename(this.#path)}.`;
    const folder = dirname(this.#path);
    const living: ProcessIdentity[] = [];
    for (const name of await readdir(folder)) {
      if (name === this.#name || !name.startsWith(prefix)) continue;
      const holder = parseHolder(name.slice(prefix.length));
      if (holder === null) continue;
      if (await isRunning(holder)) living.push(holder);
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
