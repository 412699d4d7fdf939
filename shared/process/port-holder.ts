import { readFile, readdir, readlink } from 'node:fs/promises';

/** The process that listens on a port. */
interface PortHolder {
  readonly pid: number;
  /** Name of its program: `redis-server`. */
  readonly program: string;
}

const LISTENING = '0A';

/** Returns the process that listens on a TCP port of this machine; null if unknown, such as one of another user. Linux only. */
async function holderOf(port: number): Promise<PortHolder | null> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'utf8').catch(() => '')));
  const sockets = new Set(tables.flatMap((table) => listenersIn(table, port)).map((inode) => `socket:[${inode}]`));
  if (sockets.size === 0) return null;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || !(await holdsAny(pid, sockets))) continue;
    const program = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    return { pid: Number(pid), program: program.trim() };
  }
  return null;
}

/** Returns the inodes of the sockets that listen on the port, by proc_net_tcp(5). */
function listenersIn(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
    return inode !== undefined && state === LISTENING && local.endsWith(suffix) ? [inode] : [];
  });
}

async function holdsAny(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const files = await readdir(folder).catch(() => []);
  const links = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => '')));
  return links.some((link) => sockets.has(link));
}

/** Returns who listens on a port, for an error: ` by redis-server (pid 4711)`, or nothing if that is unknown. */
export async function byHolderOf(port: number): Promise<string> {
  const holder = await holderOf(port);
  return holder === null ? '' : ` by ${holder.program} (pid ${holder.pid})`;
}
