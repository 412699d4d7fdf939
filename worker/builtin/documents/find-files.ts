import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { UnrecoverableError } from 'bullmq';
import { quote } from '../../../shared/keys.js';
import type { DocumentTree, Names, TreeEntry } from './document-tree.js';

/** The fleet's own data folder: Redis' files, with everyone's tasks. */
const DATA_FOLDER = '.taskfleet';
/** Deepest folder entered, in steps from the root: each step holds a descriptor open. */
const MAX_STEPS = 100;
/** Most entries examined in all folders together. */
const MAX_ENTRIES = 1_000_000;

/**
 * Resolves DOCUMENT_ROOT to a path without links.
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
 * Resolves the path to a folder below the root, following links that stay below it.
 * @throws UnrecoverableError with the path, if it is absolute, outside, hidden (below a name that starts with a dot) or not a folder. The
 *   error does not say which, so that nobody can probe for files elsewhere.
 */
export async function findFolder(root: string, path: string): Promise<Names> {
  const refused = new UnrecoverableError(`path ${quote(path)} is not a folder below DOCUMENT_ROOT`);
  const wanted = resolve(root, path);
  if (isAbsolute(path) || isHidden(root, wanted)) throw refused;
  const folder = await realpath(wanted).catch(() => null);
  if (folder === null || isHidden(root, folder)) throw refused;
  return namesOf(root, folder);
}

/** Returns whether a path is outside the root, or below a name that starts with a dot. */
function isHidden(root: string, path: string): boolean {
  return isAbsolute(relative(root, path)) || namesOf(root, path).some((name) => name.startsWith('.'));
}

function namesOf(root: string, path: string): Names {
  return relative(root, path)
    .split(sep)
    .filter((name) => name !== '');
}

interface FoundFiles {
  /** Paths from the root, in the order of their names' UTF-16 code units. */
  readonly files: readonly Names[];
  /** Number of symbolic links and unreadable folders found. */
  readonly skipped: number;
  /** Whether a limit cut the search short. */
  readonly truncated: boolean;
}

interface FindOptions {
  /** In lower case. */
  readonly extensions: readonly string[];
  readonly maxFiles: number;
  /** Called often; throws to end the search. */
  readonly turn: () => Promise<void>;
}

/**
 * Finds the files below a folder that have one of the extensions, in any case. Never follows a symbolic link, and ignores names that start
 * with a dot.
 */
export async function findFiles(tree: DocumentTree, folder: Names, { extensions, maxFiles, turn }: FindOptions): Promise<FoundFiles> {
  const files: Names[] = [];
  let skipped = 0;
  let entries = 0;
  // A stack. Its length is bounded by the entries of the folders on one path.
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

/** Orders entries so that the stack yields whole paths in order: a folder's name counts with its separator. */
function lastFirst(a: TreeEntry, b: TreeEntry): number {
  const [nameA, nameB] = [a, b].map(({ name, kind }) => (kind === 'folder' ? `${name}/` : name)) as [string, string];
  return nameA < nameB ? 1 : -1;
}
