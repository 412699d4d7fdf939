import { constants, type Dirent } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UnrecoverableError } from 'bullmq';
import { quote } from '../../shared/keys.js';

/**
 * Resolves a folder below the document root, following links, and makes sure that it is still below it.
 * @returns absolute paths without links.
 * @throws UnrecoverableError that names the path, if it is absolute, is no folder, or is outside. It does not say which
 *   of the last two, so that nobody can ask what exists elsewhere.
 */
export async function resolveBelow(documentRoot: string, path: string): Promise<{ root: string; folder: string }> {
  const root = await realpath(documentRoot).catch((error: unknown) => {
    throw new Error(`DOCUMENT_ROOT ${quote(documentRoot)} cannot be read`, { cause: error });
  });
  const refused = new UnrecoverableError(`path ${quote(path)} is not a folder below DOCUMENT_ROOT`);
  const wanted = resolve(root, path);
  if (isAbsolute(path) || !isWithin(root, wanted)) throw refused;
  const folder = await realpath(wanted).catch(() => null);
  if (folder === null || !isWithin(root, folder)) throw refused;
  const found = await stat(folder).catch(() => null);
  if (!found?.isDirectory()) throw refused;
  return { root, folder };
}

function isWithin(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** The path from one folder to something below it, with `/` as separator on every system; `.` if they are the same. */
export function portablePath(from: string, to: string): string {
  return relative(from, to).split(sep).join('/') || '.';
}

export interface FoundFiles {
  /** Absolute paths, in the order of their names' UTF-16 code units. */
  readonly paths: readonly string[];
  /** Symbolic links and unreadable folders that were met on the way. */
  readonly skipped: number;
  /** Whether there were more files than asked for. */
  readonly truncated: boolean;
}

/**
 * Finds the files below a folder that have one of the extensions (in any case). Never follows a symbolic link.
 * @throws the signal's reason once it is aborted.
 */
export async function findFiles(
  folder: string,
  extensions: readonly string[],
  maxFiles: number,
  signal: AbortSignal,
): Promise<FoundFiles> {
  const endings = extensions.map((extension) => extension.toLowerCase());
  const paths: string[] = [];
  let skipped = 0;
  // A stack, the next one last. Its length is bounded by the entries of the folders on one path.
  const ahead: { path: string; isFolder: boolean }[] = [{ path: folder, isFolder: true }];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    signal.throwIfAborted();
    if (!next.isFolder) {
      if (paths.length === maxFiles) return { paths, skipped, truncated: true };
      paths.push(next.path);
      continue;
    }
    const entries = await readdir(next.path, { withFileTypes: true }).catch(() => null);
    skipped += entries === null ? 1 : entries.filter((entry) => entry.isSymbolicLink()).length;
    for (const entry of (entries ?? []).toSorted(lastFirst)) {
      const wanted = entry.isDirectory() || (entry.isFile() && endings.some((ending) => entry.name.toLowerCase().endsWith(ending)));
      if (wanted) ahead.push({ path: join(next.path, entry.name), isFolder: entry.isDirectory() });
    }
  }
  return { paths, skipped, truncated: false };
}

/** Orders so that the stack yields whole paths in order: a folder's name counts with its separator. */
function lastFirst(a: Dirent, b: Dirent): number {
  const [nameA, nameB] = [a, b].map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)) as [string, string];
  return nameA < nameB ? 1 : -1;
}

/** The text of a file, or null if it cannot be read, is longer than `maxBytes`, or is not text in UTF-8. */
export async function readText(path: string, maxBytes: number): Promise<string | null> {
  const bytes = await readBytes(path, maxBytes).catch(() => null);
  if (bytes === null || bytes.includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

async function readBytes(path: string, maxBytes: number): Promise<Buffer | null> {
  // The entry may have been replaced since it was listed: a link is refused, and a pipe does not block the open.
  const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  try {
    const { size, ...found } = await file.stat().then((stats) => ({ size: stats.size, isFile: stats.isFile() }));
    if (!found.isFile || size > maxBytes) return null;
    const buffer = Buffer.allocUnsafe(size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0) return buffer.subarray(0, length);
      // It grew while it was read. What comes after is not ours to wait for.
      if (length > size) return null;
    }
  } finally {
    await file.close();
  }
}
