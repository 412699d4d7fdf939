import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';

/** The fields of /proc/<pid>/stat that count; times in clock ticks. */
export interface StatTimes {
  readonly parent: number;
  readonly own: number;
  /** Of its child processes that have ended. */
  readonly ended: number;
}

/**
 * Returns the CPU time in µs that a server has used so far, with its threads and child processes; null without /proc. Only the time of
 * children that have ended is rough: they are counted in ticks of 10 ms.
 */
export function serverCpuUs(pid: number): number | null {
  const root = statOf(pid);
  if (root === null) return null;
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && statOf(Number(name))?.parent === pid);
  return [pid, ...children.map(Number)].reduce((sum, each) => sum + ownUs(each), ticksToUs(root.ended));
}

/** Parses a line of /proc/<pid>/stat. The name of the command, in parentheses, may contain spaces and parentheses. */
export function parseStat(line: string): StatTimes {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const field = (index: number): number => Number(fields[index]);
  return { parent: field(1), own: field(11) + field(12), ended: field(13) + field(14) };
}

/** Sums the scheduler's times of the threads; where the kernel keeps none, the ticks of the process. */
function ownUs(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'));
    return threads.reduce((sum, line) => sum + Number(line.split(' ')[0]) / 1_000, 0);
  } catch {
    return ticksToUs(statOf(pid)?.own ?? 0);
  }
}

function statOf(pid: number): StatTimes | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return null;
  }
}

let perSecond = 0;
function ticksToUs(ticks: number): number {
  perSecond ||= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return (ticks * 1_000_000) / perSecond;
}
