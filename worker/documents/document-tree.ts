import { type Dir, closeSync, constants, existsSync, fstatSync, lstatSync, openSync, opendirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** The way from the root to a file or folder: a name for each step. */
export type Names = readonly string[];

export interface TreeEntry {
  readonly name: string;
  readonly kind: 'folder' | 'file' | 'link' | 'other';
}

/** A folder on the way to the one that was last looked at. */
interface Step {
  readonly name: string;
  readonly path: string;
  /** Null where folders are not held open. */
  readonly fd: number | null;
}

/** Of Linux, where Node has no name for it: names a file without opening it, so that a pipe does not block and a device does nothing. */
const O_PATH = 0o10_000_000;
// Some are absent on Windows: `undefined` counts as 0 in an OR.
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** Of the folders that this process holds open, also when they are moved or replaced. */
const DESCRIPTORS = '/proc/self/fd';

/**
 * The folders and files below a root, without a way out: no step follows a link, whatever happens to the tree meanwhile.
 *
 * On Linux each step is taken from the folder that is held open, never from a path: a folder that is replaced by a link between two looks
 * at it is still the folder, or is not entered. Elsewhere Node has no such call; there a step is by path, and counts only if afterwards
 * the path still has no link in it and leads to what was opened. Somebody who replaces a folder twice within that instant could slip
 * through, so let nobody write below the root there whom you would not let read what the worker can.
 */
export class DocumentTree {
  readonly #byDescriptor: boolean;
  /** The root, and the steps to the folder that was last looked at. */
  readonly #steps: Step[] = [];

  /**
   * @param root without links
   * @throws the system's error if it is not a folder that can be read
   */
  constructor(root: string, byDescriptor: boolean = existsSync(DESCRIPTORS)) {
    this.#byDescriptor = byDescriptor;
    const step = this.#step(root, root);
    if (step === null) throw new Error(`${root} is not a folder`);
    this.#steps.push(step);
  }

  /** Whether there is such a folder, and it can be read. */
  hasFolder(names: Names): boolean {
    return this.#enter(names) !== null;
  }

  /** What is in a folder, one after the other, closed when the loop over it is left; null if there is no such folder, or it cannot be read. */
  list(names: Names): Generator<TreeEntry, void, void> | null {
    const folder = this.#enter(names);
    const opened = folder && attempt(() => opendirSync(placeOf(folder)));
    return opened && entriesOf(opened);
  }

  /** Opens a file to be read. Null if it is not there, cannot be read or is no regular file. The caller closes it. */
  open(names: Names): number | null {
    const folder = this.#enter(names.slice(0, -1));
    const name = names.at(-1);
    if (folder === null || name === undefined) return null;
    const path = join(placeOf(folder), name);
    return attempt(() => (this.#byDescriptor ? openNamed(path) : openChecked(path)));
  }

  close(): void {
    for (const { fd } of this.#steps.splice(0)) if (fd !== null) closeSync(fd);
  }

  /** Goes to a folder. Files come folder by folder, so most of the way is there already. */
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
    if (this.#byDescriptor) {
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

/** Looks at what the name means before it opens that very file. */
function openNamed(path: string): number | null {
  const named = openSync(path, O_PATH | O_NOFOLLOW);
  try {
    return fstatSync(named).isFile() ? openSync(`${DESCRIPTORS}/${named}`, O_RDONLY | O_NONBLOCK) : null;
  } finally {
    closeSync(named);
  }
}

/** Opens by path, and then makes sure that the path has no link in it and leads to the file that is open. */
function openChecked(path: string): number | null {
  if (!lstatSync(path).isFile()) return null;
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const [opened, found] = [fstatSync(fd, { bigint: true }), lstatSync(path, { bigint: true })];
    if (opened.isFile() && opened.dev === found.dev && opened.ino === found.ino && realpathSync(path) === path) return fd;
  } catch {
    // It is gone or moved: as below.
  }
  closeSync(fd);
  return null;
}

/** Null where the system refuses: what cannot be read is left out, whatever the reason. */
function attempt<Value>(call: () => Value): Value | null {
  try {
    return call();
  } catch {
    return null;
  }
}
