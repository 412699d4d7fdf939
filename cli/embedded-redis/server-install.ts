import { join } from 'node:path';
import { takeLock } from './exclusive-lock.js';
import type { CommandResult, Machine } from './machine.js';

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

export interface InstallOptions {
  readonly say: (line: string) => void;
  readonly machine: Machine;
}

/**
 * Installs the distribution's redis-server package without starting or enabling its service. Concurrent installations take turns.
 * @returns null, or the problem with the last lines of apt-get's output
 */
export async function installRedisServer(distribution: string, { say, machine }: InstallOptions): Promise<string | null> {
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
