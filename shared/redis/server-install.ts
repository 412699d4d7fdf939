import { join } from 'node:path';
import { takeLock } from './exclusive-lock.js';
import type { CommandResult, Machine } from './machine.js';

const LOCK_TIMEOUT_MS = 600_000;
const SHOWN_LINES = 15;
const INIT_SCRIPT = '/etc/init.d/redis-server';

/**
 * The package starts a service of its own on port 6379 when it is installed. Debian's way to forbid that is a
 * policy-rc.d that answers 101 (invoke-rc.d(8), "The policy layer"). apt runs these two around dpkg while it has the
 * package system's lock, so nobody else's installation sees ours, and ours never touches a policy that was there before.
 */
const POLICY = '/usr/sbin/policy-rc.d';
const MARK = '# taskfleet: no service starts while redis-server is installed';
const FORBID_START = `[ -e ${POLICY} ] || { printf '#!/bin/sh\\n${MARK}\\nexit 101\\n' >${POLICY} && chmod 755 ${POLICY}; }`;
const ALLOW_START = `if grep -qsxF '${MARK}' ${POLICY}; then rm -f ${POLICY}; fi`;

/** `env` keeps the rest of the environment: proxies, for one. */
const APT_GET = ['DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C', 'apt-get', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=2'];
const INSTALL = [
  ...APT_GET,
  ...['-o', `DPkg::Pre-Invoke::=${FORBID_START}`, '-o', `DPkg::Post-Invoke::=${ALLOW_START}`],
  ...['install', '-y', '--no-install-recommends', 'redis-server'],
];

export interface InstallOptions {
  readonly say: (line: string) => void;
  readonly machine: Machine;
}

/**
 * Installs the distribution's redis-server package, and leaves no service running or enabled that was not there before.
 * Processes that install at once take turns.
 * @returns null, or what went wrong with the last lines of apt-get's output.
 */
export async function installRedisServer(distribution: string, { say, machine }: InstallOptions): Promise<string | null> {
  // Without the lock after all that time: apt has one of its own, this one only spares the second a wait in vain.
  const unlock = await takeLock(join(machine.lockFolder, 'taskfleet-redis-install.lock'), LOCK_TIMEOUT_MS);
  try {
    if (await machine.exists('/usr/bin/redis-server')) return null;
    say(`No redis-server found: installing ${distribution}'s redis-server package (apt-get) …`);
    const hadService = await machine.exists(INIT_SCRIPT);
    // A third-party source that fails the update need not keep the package from being installed.
    const update = await machine.run('env', [...APT_GET, 'update']);
    const install = await machine.run('env', INSTALL);
    // Should apt-get have been killed between the two.
    await machine.run('sh', ['-c', ALLOW_START]);
    if (install.code !== 0) return failure(update, install);
    // The package also enables its service for the next boot. It cannot be disabled before it is there.
    if (!hadService) await machine.run('update-rc.d', ['redis-server', 'disable']);
    return null;
  } finally {
    await unlock?.();
  }
}

function failure(update: CommandResult, install: CommandResult): string {
  const shown = [
    ...(update.code === 0 ? [] : [`apt-get update ended with ${update.code ?? 'no exit code'}:`, ...lastLines(update.output)]),
    `apt-get install ended with ${install.code ?? 'no exit code'}:`,
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
