import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { FleetError } from '../errors.js';
import { takeLock } from './server-state.js';

/** The machine as the installer of redis-server sees it; tests replace it. */
export interface Machine {
  /** The text of /etc/os-release, '' if there is none. */
  osRelease(): Promise<string>;
  /** The user's id; -1 if unknown. */
  uid(): number;
  /** Never rejects: a command that cannot be started returns code null and the reason as output. */
  run(command: string, args: readonly string[]): Promise<CommandResult>;
  exists(file: string): Promise<boolean>;
  /** The PATH where the system's packages install commands. */
  readonly systemPath: string;
  /** Folder of the lock against concurrent installations. */
  readonly lockFolder: string;
}

export interface CommandResult {
  /** Exit code; null if it was killed or could not be started. */
  readonly code: number | null;
  /** Standard output, followed by standard error. */
  readonly output: string;
}

const COMMANDS = ['redis-server', 'valkey-server'] as const;
const RUN_TIMEOUT_MS = 300_000;
const MAX_OUTPUT_BYTES = 64 * 1_048_576;
const LOCK_TIMEOUT_MS = 600_000;
const SHOWN_LINES = 15;
const INIT_SCRIPT = '/etc/init.d/redis-server';

/**
 * On installation, the package starts a service on port 6379. On Debian, a policy-rc.d that exits with 101 prevents that
 * (invoke-rc.d(8), "The policy layer"). apt runs these two hooks around dpkg while it holds the package system's lock, so no
 * other installation sees this policy; a policy that already exists is left alone.
 */
const POLICY = '/usr/sbin/policy-rc.d';
const MARK = '# taskfleet: no service starts while redis-server is installed';
const FORBID_START = `[ -e ${POLICY} ] || { printf '#!/bin/sh\\n${MARK}\\nexit 101\\n' >${POLICY} && chmod 755 ${POLICY}; }`;
const ALLOW_START = `if grep -qsxF '${MARK}' ${POLICY}; then rm -f ${POLICY}; fi`;

/** `env` keeps the rest of the environment, for example proxies. */
const APT_GET = ['DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C', 'apt-get', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=2'];
const INSTALL = [
  ...APT_GET,
  ...['-o', `DPkg::Pre-Invoke::=${FORBID_START}`, '-o', `DPkg::Post-Invoke::=${ALLOW_START}`],
  ...['install', '-y', '--no-install-recommends', 'redis-server'],
];

interface EnsureOptions {
  /** A PATH value: folders to look in. */
  readonly path: string;
  /** Prints a line for the user before an installation. */
  readonly say: (line: string) => void;
  /** Default: this machine. */
  readonly machine?: Machine;
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

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
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

interface InstallOptions {
  readonly say: (line: string) => void;
  readonly machine: Machine;
}

/**
 * Installs the distribution's redis-server package without starting or enabling its service. Concurrent installations take turns.
 * @returns null, or the problem with the last lines of apt-get's output
 */
async function installRedisServer(distribution: string, { say, machine }: InstallOptions): Promise<string | null> {
  // Continue without the lock after the timeout: apt has its own, and this one only saves a second installation.
  const unlock = await takeLock(join(machine.lockFolder, 'taskfleet-redis-install.lock'), LOCK_TIMEOUT_MS);
  try {
    if (await machine.exists('/usr/bin/redis-server')) return null;
    say(`No redis-server found: installing ${distribution}'s redis-server package (apt-get) …`);
    const hadService = await machine.exists(INIT_SCRIPT);
    // The installation may succeed even if a third-party source fails the update.
    const update = await machine.run('env', [...APT_GET, 'update']);
    const install = await machine.run('env', INSTALL);
    // In case apt-get was killed between the two hooks.
    await machine.run('sh', ['-c', ALLOW_START]);
    if (install.code !== 0) return failure(update, install);
    // The package also enables its service for the next boot, which can only be disabled afterwards.
    if (!hadService) await machine.run('update-rc.d', ['redis-server', 'disable']);
    return null;
  } finally {
    await unlock?.();
  }
}

function failure(update: CommandResult, install: CommandResult): string {
  const shown = [
    ...(update.code === 0 ? [] : [`apt-get update failed with ${update.code ?? 'no exit code'}:`, ...lastLines(update.output)]),
    `apt-get install failed with ${install.code ?? 'no exit code'}:`,
    ...lastLines(install.output),
  ];
  return `No redis-server was found, and installing one failed.\n${shown.join('\n')}`;
}

function lastLines(output: string): string[] {
  return output
    .trimEnd()
    .split('\n')
    .slice(-SHOWN_LINES)
    .map((line) => `  ${line}`);
}

/** The machine that this code runs on. */
function thisMachine(): Machine {
  return {
    osRelease: () => readFile('/etc/os-release', 'utf8').catch(() => ''),
    uid: currentUid,
    run: runCommand,
    exists: (file) =>
      access(file).then(
        () => true,
        () => false,
      ),
    systemPath: '/usr/bin:/usr/local/bin',
    lockFolder: '/run',
  };
}

/** Returns the distribution's name if it is Debian or derived from it, by ID and ID_LIKE of os-release(5); else null. */
function debianName(osRelease: string): 'Debian' | 'Ubuntu' | null {
  const words = [...osRelease.matchAll(/^(?:ID|ID_LIKE)=(?<value>.*)$/gm)].flatMap((match) =>
    (match.groups?.['value'] ?? '').replaceAll(/["']/g, '').split(/\s+/),
  );
  if (words.includes('ubuntu')) return 'Ubuntu';
  return words.includes('debian') ? 'Debian' : null;
}

/** A container may run under an id without a name: `userInfo` then throws, and the user is not root. */
function currentUid(): number {
  try {
    return userInfo().uid;
  } catch {
    return -1;
  }
}

function runCommand(command: string, args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { timeout: RUN_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES }, (error, stdout, stderr) => {
      const output = stdout + stderr;
      if (error === null) resolve({ code: 0, output });
      else resolve({ code: typeof error.code === 'number' ? error.code : null, output: output || error.message });
    });
    child.stdin?.end();
  });
}
