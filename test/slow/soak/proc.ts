import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

const KIB = 1_024;
/** The state in the tables of /proc/net. */
const ESTABLISHED = '01';

export interface ProcessFigures {
  /** Resident memory in bytes. */
  readonly rss: number;
  /** Established TCP connections to the given ports. */
  readonly connections: number;
}

/** Returns the kernel's figures about a process, null if it has ended. Linux only. */
export function figuresOf(pid: number, ports: ReadonlySet<number>): ProcessFigures | null {
  try {
    const rss = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    // A zombie has no memory.
    return Number.isNaN(rss) ? null : { rss: rss * KIB, connections: connectionsOf(pid, ports) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

function connectionsOf(pid: number, ports: ReadonlySet<number>): number {
  const sockets = new Set<string>();
  for (const file of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${file}`))?.[1];
    if (inode !== undefined) sockets.add(inode);
  }
  // The table lists all processes. Columns: number, local, remote, state, queues, timer, retransmits, uid, timeout, inode.
  const rows = ['tcp', 'tcp6']
    .flatMap((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8').split('\n').slice(1))
    .map((row) => row.trim().split(/\s+/));
  return rows.filter(
    ([, , remote = '', state, , , , , , inode = '']) =>
      state === ESTABLISHED && ports.has(Number.parseInt(remote.split(':')[1] ?? '', 16)) && sockets.has(inode),
  ).length;
}

/** Returns '' for a descriptor closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
