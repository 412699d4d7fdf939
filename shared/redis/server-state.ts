import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ProcessIdentity } from './process-identity.js';

/** What `server.json` in a data folder says of the redis-server that serves the folder. */
export interface ServerState {
  /** Null in the moment between the choice of the port and the start of the process. */
  readonly pid: number | null;
  readonly port: number;
  readonly url: string;
  /** When the process `pid` started: see {@link ProcessIdentity}. */
  readonly started: string | null;
}

const schema = z.object({
  pid: z.int().positive().nullable(),
  port: z.int().min(1).max(65_535),
  url: z.string(),
  started: z.string().nullable(),
});

/** Null if there is no state file, or none that can be read: it then counts as stale. */
export async function readState(dir: string): Promise<ServerState | null> {
  try {
    return schema.parse(JSON.parse(await readFile(fileIn(dir), 'utf8')));
  } catch {
    return null;
  }
}

/** Replaces the state file in one step: a reader sees the old one or the new one. */
export async function writeState(dir: string, state: ServerState): Promise<void> {
  const temporary = `${fileIn(dir)}.${randomUUID()}`;
  await writeFile(temporary, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  await rename(temporary, fileIn(dir));
}

/** Removes the state file if it still speaks of that server. */
export async function removeState(dir: string, server: ProcessIdentity): Promise<void> {
  const state = await readState(dir);
  if (state?.pid === server.pid && state.started === server.started) await rm(fileIn(dir), { force: true });
}

/** The process that the state speaks of; it need not run any more. */
export function serverOf({ pid, started }: ServerState): ProcessIdentity | null {
  return pid === null || started === null ? null : { pid, started };
}

export function urlOf(port: number): string {
  return `redis://127.0.0.1:${port}`;
}

function fileIn(dir: string): string {
  return join(dir, 'server.json');
}
