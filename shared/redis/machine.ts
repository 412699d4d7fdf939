import { execFile } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';

/** What installing redis-server asks of the machine, so that a test can bring one of its own. */
export interface Machine {
  /** The text of /etc/os-release, '' if there is none. */
  osRelease(): Promise<string>;
  /** The user's id; -1 if it cannot be told. */
  uid(): number;
  /** Never rejects: a command that cannot be started has code null and says why in its output. */
  run(command: string, args: readonly string[]): Promise<CommandResult>;
  exists(file: string): Promise<boolean>;
  /** Where the system's packages put commands, as a PATH. */
  readonly systemPath: string;
  /** A folder for the lock that keeps two from installing at once. */
  readonly lockFolder: string;
}

export interface CommandResult {
  /** Exit code; null if it was killed or could not be started. */
  readonly code: number | null;
  /** What it wrote to standard output, then what to standard error. */
  readonly output: string;
}

const RUN_TIMEOUT_MS = 300_000;
const MAX_OUTPUT_BYTES = 64 * 1_048_576;

/** The machine that this code runs on. */
export function thisMachine(): Machine {
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

/** The distribution's name if it is Debian or made from it, by ID and ID_LIKE of os-release(5); else null. */
export function debianName(osRelease: string): 'Debian' | 'Ubuntu' | null {
  const words = [...osRelease.matchAll(/^(?:ID|ID_LIKE)=(?<value>.*)$/gm)].flatMap((match) =>
    (match.groups?.['value'] ?? '').replaceAll(/["']/g, '').split(/\s+/),
  );
  if (words.includes('ubuntu')) return 'Ubuntu';
  return words.includes('debian') ? 'Debian' : null;
}

/** A container may run under an id that has no name; asking for the user then throws, and it is not root. */
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
