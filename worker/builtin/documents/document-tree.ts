import { type Dir, closeSync, constants, existsSync, fstatSync, lstatSync, openSync, opendirSync, readSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** The path from the root to a file or folder, as names. */
export type Names = readonly string[];

export interface TreeEntry {
  readonly name: string;
  readonly kind: 'folder' | 'file' | 'link' | 'other';
}

/** A folder on the path to the current one. */
interface Step {
  readonly name: string;
  readonly path: string;
  /** Null on systems where folders are not held open. */
  readonly fd: number | null;
}

/**
 * Linux' O_PATH, which Node does not define: opens a name without opening the file, so that a pipe does not block and a device is not
 * touched.
 */
const O_PATH = 0o10_000_000;
// Some are absent on Windows: `undefined` counts as 0 in an OR.
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** Paths of the folders that this process holds open, valid even when these are moved or replaced. */
const DESCRIPTORS = '/proc/self/fd';

/**
 * The folders and files below a root, with no way out: no step follows a link, even if the tree changes meanwhile.
 *
 * On Linux each step starts from the open folder, never from a path: a folder that is replaced by a link is still the old folder, or is not
 * entered. Node has no such call elsewhere; there a step uses the path, and is accepted only if the path afterwards has no link and leads
 * to the opened file. Someone who replaces a folder twice in that instant could slip through, so let nobody write below the root who must
 * not read the worker's files.
 */
export class DocumentTree {
  /** The root, and the folders down to the current one. */
  readonly #steps: Step[] = [];

  /**
   * @param root without links
   * @throws the system's error if the root is not a readable folder
   */
  constructor(
    root: string,
    private readonly byDescriptor: boolean = existsSync(DESCRIPTORS),
  ) {
    const step = this.#step(root, root);
    if (step === null) throw new Error(`${root} is not a folder`);
    this.#steps.push(step);
  }

  /** Returns whether the folder exists and is readable. */
  hasFolder(names: Names): boolean {
    return this.#enter(names) !== null;
  }

  /** Yields the entries of a folder, which is closed when the loop is left; null if the folder is missing or unreadable. */
  list(names: Names): Generator<TreeEntry, void, void> | null {
    const folder = this.#enter(names);
    const opened = folder && attempt(() => opendirSync(placeOf(folder)));
    return opened && entriesOf(opened);
  }

  /** Opens a file for reading. Null if it is missing, unreadable or not a regular file. The caller closes it. */
  open(names: Names): number | null {
    const folder = this.#enter(names.slice(0, -1));
    const name = names.at(-1);
    if (folder === null || name === undefined) return null;
    const path = join(placeOf(folder), name);
    return attempt(() => (this.byDescriptor ? openNamed(path) : openChecked(path)));
  }

  close(): void {
    for (const { fd } of this.#steps.splice(0)) if (fd !== null) closeSync(fd);
  }

  /** Opens a folder. Files come folder by folder, so most of the path is open already. */
  #enter(names: Names): Step | null {
    let shared = 0;
    while (shared < names.length && this.#steps[shared + 1]?.name === names[shared]) shared += 1;
    for (const { fd } of this.#steps.splice(shared + 1)) if (fd !== null) closeSync(fd);
    for (const name of names.slice(shared)) {
      const step = this.#step(join(placeOf(this.#steps.at(-1) as Step), name), name);
      if (step === null) return null;
      this.#steps.push(step);
    }
    return this.#steps.at(-1) ?? null;
  }

  #step(path: string, name: string): Step | null {
    if (this.byDescriptor) {
      const fd = attempt(() => openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK));
      return fd === null ? null : { name, path, fd };
    }
    const isFolder = attempt(() => lstatSync(path).isDirectory() && realpathSync(path) === path);
    return isFolder ? { name, path, fd: null } : null;
  }
}

function placeOf({ fd, path }: Step): string {
  return fd === null ? path : `${DESCRIPTORS}/${fd}`;
}

function* entriesOf(folder: Dir): Generator<TreeEntry, void, void> {
  try {
    for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
      const kind = entry.isSymbolicLink() ? 'link' : entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : 'other';
      yield { name: entry.name, kind };
    }
  } finally {
    folder.closeSync();
  }
}

/** Checks that the name is a regular file before opening that very file. */
function openNamed(path: string): number | null {
  const named = openSync(path, O_PATH | O_NOFOLLOW);
  try {
    return fstatSync(named).isFile() ? openSync(`${DESCRIPTORS}/${named}`, O_RDONLY | O_NONBLOCK) : null;
  } finally {
    closeSync(named);
  }
}

/** Opens by path, and then checks that the path has no link and leads to the open file. */
function openChecked(path: string): number | null {
  if (!lstatSync(path).isFile()) return null;
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const [opened, found] = [fstatSync(fd, { bigint: true }), lstatSync(path, { bigint: true })];
    if (opened.isFile() && opened.dev === found.dev && opened.ino === found.ino && realpathSync(path) === path) return fd;
  } catch {
    // Gone or moved: treated as below.
  }
  closeSync(fd);
  return null;
}

/** Returns null if the system refuses: unreadable files are left out, for any reason. */
function attempt<Value>(call: () => Value): Value | null {
  try {
    return call();
  } catch {
    return null;
  }
}

/** Reads a file. Null if it is unreadable, longer than `maxBytes`, or not UTF-8 text. */
export function readText(tree: DocumentTree, file: Names, maxBytes: number): string | null {
  const fd = tree.open(file);
  if (fd === null) return null;
  try {
    const bytes = readBytes(fd, maxBytes);
    return bytes === null || bytes.includes(0) ? null : new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

function readBytes(fd: number, maxBytes: number): Buffer | null {
  const { size } = fstatSync(fd);
  if (size > maxBytes) return null;
  const buffer = Buffer.allocUnsafe(size + 1);
  let length = 0;
  for (;;) {
    const read = readSync(fd, buffer, length, buffer.length - length, length);
    length += read;
    if (read === 0) return buffer.subarray(0, length);
    // The file grew while it was read: ignore the rest.
    if (length > size) return null;
  }
}
