import { execFile } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';

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

/** Returns the distribution's name if it is Debian or derived from it, by ID and ID_LIKE of os-release(5); else null. */
export function debianName(osRelease: string): 'Debian' | 'Ubuntu' | null {
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
