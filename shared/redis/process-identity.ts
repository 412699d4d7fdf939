import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { platform } from 'node:os';
// oxlint-disable-next-line no-restricted-imports -- signals and this process's own id; neither is configuration
import { kill, pid as ownPid } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

/** One process, for good: a pid alone is given again to another process after a reboot or in a new container. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in the words of the operating system; only to be compared. */
  readonly started: string;
}

const EXIT_CHECK_MS = 20;

/** The process that has a pid now, or null if there is none. One that has ended but was not yet reaped counts as none. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | null> {
  const { state, started } = platform() === 'linux' ? await readProc(pid) : await askPs(pid);
  return started === '' || /^[ZXx]/.test(state) ? null : { pid, started };
}

/** The process that this code runs in. */
export async function identifyThisProcess(): Promise<ProcessIdentity> {
  return (await identifyProcess(ownPid)) ?? { pid: ownPid, started: '' };
}

/** True while that very process runs. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  return (await identifyProcess(identity.pid))?.started === identity.started;
}

/** Waits for the end of a process, of this one's children or not. Resolves to false if it still runs after `timeoutMs`. */
export async function waitForExit(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isRunning(identity)) {
    if (Date.now() >= deadline) return false;
    // The system tells a process of the end of its own children only.
    await delay(EXIT_CHECK_MS);
  }
  return true;
}

/** Sends a signal to a process; does nothing if it has ended. */
export async function signalProcess(identity: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (!(await isRunning(identity))) return;
  try {
    kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The state and the start time (field 22, in ticks since the boot) of proc_pid_stat(5). */
async function readProc(pid: number): Promise<{ state: string; started: string }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The second field is the command in parentheses, and may itself have spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', started: fields[19] ?? '' };
}

async function askPs(pid: number): Promise<{ state: string; started: string }> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'state=,lstart=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  const [state = '', ...started] = stdout.trim().split(/\s+/);
  return { state, started: started.join(' ') };
}
