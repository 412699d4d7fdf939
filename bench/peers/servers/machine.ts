import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** The machine and the versions of a run. */
export interface MachineDescription {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly servers: readonly string[];
  /** The load average of one minute at the start. */
  readonly load: number;
  /** The day of the run, `2026-11-30`. */
  readonly date: string;
  /** Package and version. */
  readonly packages: Readonly<Record<string, string>>;
}

export function describeMachine(servers: readonly string[], packages: readonly string[]): MachineDescription {
  const [first] = cpus();
  return {
    cpu: first?.model ?? 'unknown CPU',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${debianVersion()}Linux ${release()}`,
    node: process.version,
    servers,
    load: loadavg()[0] ?? Number.NaN,
    date: new Date().toISOString().slice(0, 10),
    packages: Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
  };
}

function debianVersion(): string {
  try {
    return `Debian ${readFileSync('/etc/debian_version', 'utf8').trim()}, `;
  } catch {
    return '';
  }
}

function versionOf(name: string): string {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
