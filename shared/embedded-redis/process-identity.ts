import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { platform } from 'node:os';
// oxlint-disable-next-line no-restricted-imports -- signals and this process's own id; neither is configuration
import { kill, pid as ownPid } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Identifies a process beyond its pid, which is reused after a reboot or in a new container. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in the operating system's format, for comparison only. */
  readonly started: string;
}

const EXIT_CHECK_MS = 20;

/** Returns the running process with a pid, or null. A zombie does not count. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | null> {
  const { state, started } = platform() === 'linux' ? await readProc(pid) : await askPs(pid);
  return started === '' || /^[ZXx]/.test(state) ? null : { pid, started };
}

/** Returns the current process. */
export async function identifyThisProcess(): Promise<ProcessIdentity> {
  return (await identifyProcess(ownPid)) ?? { pid: ownPid, started: '' };
}

/** True while the process runs. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  return (await identifyProcess(identity.pid))?.started === identity.started;
}

/** Waits for the exit of a process, which need not be a child. Resolves to false if it still runs after `timeoutMs`. */
export async function waitForExit(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isRunning(identity)) {
    if (Date.now() >= deadline) return false;
    // The system reports only the exit of children.
    await delay(EXIT_CHECK_MS);
  }
  return true;
}

/** Sends a signal to a process; does nothing if it has exited. */
export async function signalProcess(identity: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (!(await isRunning(identity))) return;
  try {
    kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Reads the state and start time (field 22, in ticks since boot) of proc_pid_stat(5). */
async function readProc(pid: number): Promise<{ state: string; started: string }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The second field, the command in parentheses, may contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', started: fields[19] ?? '' };
}

async function askPs(pid: number): Promise<{ state: string; started: string }> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'state=,lstart=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  const [state = '', ...started] = stdout.trim().split(/\s+/);
  return { state, started: started.join(' ') };
}
