import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { FleetError } from '../../shared/errors.js';
import { type Machine, debianName, thisMachine } from './machine.js';
import { installRedisServer } from './server-install.js';

export interface EnsureOptions {
  /** A PATH value: folders to look in. */
  readonly path: string;
  /** Prints a line for the user before an installation. */
  readonly say: (line: string) => void;
  /** Default: this machine. */
  readonly machine?: Machine;
}

const COMMANDS = ['redis-server', 'valkey-server'] as const;

/** Returns the first `redis-server`, else the first `valkey-server`, in the folders of a PATH value; null if there is none. */
export async function findRedisServer(path: string): Promise<string | null> {
  const folders = path.split(delimiter).filter((folder) => folder !== '');
  for (const command of COMMANDS) {
    for (const folder of folders) {
      const file = join(folder, command);
      if (await isExecutable(file)) return file;
    }
  }
  return null;
}

/**
 * Finds a redis-server, or, as root on Debian and Ubuntu, installs the system's package.
 * @returns the path of the command
 * @throws FleetError `REDIS_SERVER_MISSING`, with the ways to get one, and the end of apt-get's output if that failed
 */
export async function ensureRedisServer({ path, say, machine = thisMachine() }: EnsureOptions): Promise<string> {
  const found = await findRedisServer(path);
  if (found !== null) return found;
  const distribution = machine.uid() === 0 ? debianName(await machine.osRelease()) : null;
  if (distribution === null) throw missing('No redis-server was found on this machine.');
  const problem = await installRedisServer(distribution, { say, machine });
  if (problem !== null) throw missing(problem);
  const installed = await findRedisServer(`${path}${delimiter}${machine.systemPath}`);
  if (installed === null) throw missing(`apt-get installed redis-server, but there is none in ${machine.systemPath}.`);
  return installed;
}

function missing(why: string): FleetError {
  const ways = [
    'Get a redis-server in one of these ways:',
    '  1. Install it: apt-get install redis-server · dnf install redis · apk add redis · brew install redis',
    '  2. Run it in Docker: docker run -p 6379:6379 redis:7 redis-server --appendonly yes --maxmemory-policy noeviction',
    '     and set REDIS_URL=redis://127.0.0.1:6379',
    '  3. Use an existing Redis: set REDIS_URL, for example redis://user:password@host:6379/0',
  ];
  return new FleetError('REDIS_SERVER_MISSING', [why, ...ways].join('\n'));
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
