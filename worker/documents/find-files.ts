import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { UnrecoverableError } from 'bullmq';
import { quote } from '../../shared/keys.js';
import type { DocumentTree, Names, TreeEntry } from './document-tree.js';

/** The fleet's own data: Redis' files, with everybody's tasks. */
const DATA_FOLDER = '.taskfleet';
/** Deepest folder that is entered, in steps from the root: each step is a descriptor that stays open. */
const MAX_STEPS = 100;
/** Entries that are looked at, of all folders together. */
const MAX_ENTRIES = 1_000_000;

/**
 * Finds the folder that DOCUMENT_ROOT means.
 * @returns its path without links
 * @throws UnrecoverableError if it is not set, or is the fleet's own data folder; Error if it cannot be read
 */
export async function realRoot(documentRoot: string | null): Promise<string> {
  if (documentRoot === null) {
    throw new UnrecoverableError(
      'DOCUMENT_ROOT is not set, so document.index reads nothing: set it for the workers, to the folder with the documents',
    );
  }
  const root = await realpath(documentRoot).catch((error: unknown) => {
    throw new Error(`DOCUMENT_ROOT ${quote(documentRoot)} cannot be read`, { cause: error });
  });
  if (root.split(sep).includes(DATA_FOLDER))
    throw new UnrecoverableError(`DOCUMENT_ROOT ${quote(documentRoot)} is in the fleet's own data folder: set another`);
  return root;
}

/**
 * Finds the way to a folder below the root, following links that stay below it.
 * @throws UnrecoverableError that names the path, if it is absolute, outside, hidden (below a name that begins with a dot) or no folder. It does
 *   not say which, so that nobody can ask what exists elsewhere.
 */
export async function findFolder(root: string, path: string): Promise<Names> {
  const refused = new UnrecoverableError(`path ${quote(path)} is not a folder below DOCUMENT_ROOT`);
  const wanted = resolve(root, path);
  if (isAbsolute(path) || isHidden(root, wanted)) throw refused;
  const folder = await realpath(wanted).catch(() => null);
  if (folder === null || isHidden(root, folder)) throw refused;
  return namesOf(root, folder);
}

/** Whether a path is outside of the root, or below something that begins with a dot. */
function isHidden(root: string, path: string): boolean {
  return isAbsolute(relative(root, path)) || namesOf(root, path).some((name) => name.startsWith('.'));
}

function namesOf(root: string, path: string): Names {
  return relative(root, path)
    .split(sep)
    .filter((name) => name !== '');
}

export interface FoundFiles {
  /** From the root, in the order of their names' UTF-16 code units. */
  readonly files: readonly Names[];
  /** Symbolic links and unreadable folders that were met on the way. */
  readonly skipped: number;
  /** Whether there was more than may be read. */
  readonly truncated: boolean;
}

export interface FindOptions {
  /** In lower case. */
  readonly extensions: readonly string[];
  readonly maxFiles: number;
  /** Called often; throws once the search is to end. */
  readonly turn: () => Promise<void>;
}

/**
 * Finds the files below a folder that have one of the extensions (in any case). Never follows a symbolic link, and takes nothing whose name
 * begins with a dot, which is not counted either.
 */
export async function findFiles(tree: DocumentTree, folder: Names, { extensions, maxFiles, turn }: FindOptions): Promise<FoundFiles> {
  const files: Names[] = [];
  let skipped = 0;
  let entries = 0;
  // A stack, the next one last. Its length is bounded by the entries of the folders on one path.
  const ahead: { names: Names; isFolder: boolean }[] = [{ names: folder, isFolder: true }];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    const { names, isFolder } = next;
    if (!isFolder) {
      if (files.length === maxFiles) return { files, skipped, truncated: true };
      files.push(names);
      continue;
    }
    const listed = names.length > MAX_STEPS ? null : tree.list(names);
    if (listed === null) skipped += 1;
    const wanted: TreeEntry[] = [];
    for (const entry of listed ?? []) {
      await turn();
      entries += 1;
      if (entries > MAX_ENTRIES) return { files, skipped, truncated: true };
      if (entry.name.startsWith('.')) continue;
      if (entry.kind === 'link') skipped += 1;
      const name = entry.name.toLowerCase();
      if (entry.kind === 'folder' || (entry.kind === 'file' && extensions.some((ending) => name.endsWith(ending)))) wanted.push(entry);
    }
    for (const { name, kind } of wanted.toSorted(lastFirst)) ahead.push({ names: [...names, name], isFolder: kind === 'folder' });
  }
  return { files, skipped, truncated: false };
}

/** Orders so that the stack yields whole paths in order: a folder's name counts with its separator. */
function lastFirst(a: TreeEntry, b: TreeEntry): number {
  const [nameA, nameB] = [a, b].map(({ name, kind }) => (kind === 'folder' ? `${name}/` : name)) as [string, string];
  return nameA < nameB ? 1 : -1;
}
