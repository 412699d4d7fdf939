import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// oxlint-disable-next-line no-restricted-imports -- the PATH to find redis-server in, as for the command; it is no setting
import { env } from 'node:process';
import type { Writable } from 'node:stream';
import { ensureRedisServer } from '../../shared/embedded-redis/server-binary.js';
import { freePort, spawnServer } from '../../shared/embedded-redis/server-process.js';
import { FleetError } from '../../shared/errors.js';

export interface GuardedRedis {
  readonly url: string;
  /** Kills the server and removes its folder. */
  end(): Promise<void>;
}

/** Tests need no durability. */
const SERVER_ARGS = ['--appendonly', 'no', '--save', '', '--maxmemory-policy', 'noeviction'];
const START_TIMEOUT_MS = 30_000;
const MAX_PORTS = 5;
/** Waits until its standard input is closed, which the end of the test process does in any case, even a SIGKILL. */
const GUARD = 'read -r _; kill -KILL "$1" 2>/dev/null; rm -rf -- "$2" || { sleep 1; rm -rf -- "$2"; }';

/**
 * Starts an empty redis-server on a free port of 127.0.0.1, which lives no longer than this process.
 * @throws FleetError `REDIS_SERVER_MISSING`, `REDIS_SERVER_FAILED`
 */
export async function startGuardedRedis(say: (line: string) => void): Promise<GuardedRedis> {
  const binary = await ensureRedisServer({ path: env['PATH'] ?? '', say });
  for (let attempt = 1; attempt <= MAX_PORTS; attempt += 1) {
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-test-')));
    const port = await freePort();
    let guard: Guard | null = null;
    const onSpawn = async (pid: number): Promise<void> => void (guard = new Guard(pid, dir));
    const server = await spawnServer({ binary, dir, port, args: SERVER_ARGS, startTimeoutMs: START_TIMEOUT_MS, onSpawn }).catch(
      async (error: unknown) => {
        await guard?.end();
        throw error;
      },
    );
    if (server !== null) return { url: `redis://127.0.0.1:${port}`, end: () => guard?.end() ?? Promise.resolve() };
    await (guard as Guard | null)?.end();
  }
  throw new FleetError('REDIS_SERVER_FAILED', `redis-server lost ${MAX_PORTS} ports in a row to other processes.`);
}

/** A shell that kills a server and removes its folder as soon as this process ends, or asks it to. */
class Guard {
  readonly #child;
  #ended: Promise<unknown> | null = null;

  constructor(pid: number, dir: string) {
    this.#child = spawn('sh', ['-c', GUARD, 'sh', String(pid), dir], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    // Neither the process nor its pipe keeps the test process alive; the type of a stream lacks unref().
    this.#child.unref();
    (this.#child.stdin as Writable & { unref(): void }).unref();
  }

  async end(): Promise<void> {
    this.#child.ref();
    this.#ended ??= once(this.#child, 'exit');
    this.#child.stdin.end();
    await this.#ended;
  }
}
