import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, constants, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { onFreePort } from '../../../test/support/process/ports.js';
import { forget, reapAtExit, removeAtExit } from '../../../test/support/process/reaper.js';

const START_TIMEOUT_MS = 20_000;
const MISSING =
  'PostgreSQL is missing: `apt-get install postgresql` installs it (the benchmark starts a cluster of its own). ' +
  'Without it, compare the others: npm run bench:peers -- --only taskfleet,bullmq,bee-queue,open-webui';

/** A PostgreSQL cluster of the benchmark's own: on loopback, in a temporary folder, with Debian's default settings. */
export class Postgres {
  #databases = 0;

  private constructor(
    private readonly serverUrl: string,
    readonly version: string,
    private readonly server: ChildProcess,
    private readonly folder: string,
  ) {}

  get pid(): number {
    return this.server.pid as number;
  }

  /** @throws Error with the command that installs PostgreSQL, where it is missing */
  static async start(): Promise<Postgres> {
    const binaries = findBinaries();
    const user = serverUser();
    const folder = mkdtempSync(join(tmpdir(), 'taskfleet-bench-postgres-'));
    removeAtExit(folder);
    if (user !== null) chownSync(folder, user.uid, user.gid);
    const data = join(folder, 'data');
    const identity = user ?? {};
    execFileSync(join(binaries, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C'], {
      ...identity,
      cwd: folder,
      stdio: 'ignore',
    });
    const version = execFileSync(join(binaries, 'postgres'), ['--version'], { encoding: 'utf8' }).replace(/^postgres \(PostgreSQL\) /, '');
    return onFreePort(async (port) => {
      const settings = [`listen_addresses=127.0.0.1`, `port=${port}`, `unix_socket_directories=${folder}`, 'max_connections=200'];
      const args = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])];
      // In a process group of its own: Ctrl+C reaches the benchmark alone, which closes its connections first.
      const server = spawn(join(binaries, 'postgres'), args, { ...identity, cwd: folder, stdio: 'ignore', detached: true });
      reapAtExit(server.pid as number);
      const postgres = new Postgres(`postgres://postgres@127.0.0.1:${port}`, version.trim(), server, folder);
      if (await postgres.#accepts()) return postgres;
      await postgres.stop();
      return null;
    });
  }

  /** Creates an empty database and returns its URL. Drops the one before it, unless a connection to it is still open. */
  async freshDatabase(): Promise<string> {
    const name = `bench${this.#databases + 1}`;
    await this.#admin(async (client) => {
      await client.query(`DROP DATABASE IF EXISTS bench${this.#databases}`).catch(() => undefined);
      await client.query(`CREATE DATABASE ${name}`);
    });
    this.#databases += 1;
    return `${this.serverUrl}/${name}`;
  }

  /** Ends the server by an immediate shutdown, and removes its folder. */
  async stop(): Promise<void> {
    if (this.server.exitCode === null && this.server.signalCode === null) {
      const gone = once(this.server, 'exit');
      this.server.kill('SIGQUIT');
      await gone;
    }
    forget(this.pid);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #accepts(): Promise<boolean> {
    const end = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < end && this.server.exitCode === null) {
      try {
        await this.#admin(async (client) => void (await client.query('SELECT 1')));
        return true;
      } catch {
        await delay(100);
      }
    }
    return false;
  }

  async #admin(act: (client: Client) => Promise<void>): Promise<void> {
    const client = new Client({ connectionString: `${this.serverUrl}/postgres` });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await act(client);
    } finally {
      await client.end();
    }
  }
}

function findBinaries(): string {
  const debian = '/usr/lib/postgresql';
  const folders = [
    ...readFolder(debian)
      .toSorted((a, b) => Number(b) - Number(a))
      .map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ];
  const found = folders.find((folder) => ['initdb', 'postgres'].every((name) => isExecutable(join(folder, name))));
  if (found === undefined) throw new Error(MISSING);
  return found;
}

function readFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Returns the user to run as: PostgreSQL refuses root, Debian's package brings a user `postgres`. Null for the current user. */
function serverUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined)
    throw new Error('PostgreSQL refuses to run as root, and there is no user "postgres": run as another user.');
  return { uid: Number(uid), gid: Number(gid) };
}
