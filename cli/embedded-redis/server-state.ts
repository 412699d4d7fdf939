import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ProcessIdentity } from './process-identity.js';

/** The content of `server.json` in a data folder: the folder's redis-server. */
export interface ServerState {
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
