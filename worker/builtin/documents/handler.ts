import { setImmediate as nextTurn } from 'node:timers/promises';
import { UnrecoverableError } from 'bullmq';
import { quote } from '../../../shared/keys.js';
import type { Settings } from '../../../shared/settings/settings.js';
import { type TaskContext, type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { type DocumentIndexInput, type DocumentIndexOutput, documentIndex } from '../definitions.js';
import { DocumentTree, type Names, readText } from './document-tree.js';
import { findFiles, findFolder, realRoot } from './find-files.js';
import { TermIndex } from './term-index.js';

/** How long the thread computes before it checks for an abort, in ms. */
const TURN_MS = 20;
/** Most characters read from all files together. */
const MAX_LENGTH = 512 * 1_048_576;

type DocumentSettings = Pick<Settings, 'documentRoot' | 'documentExtensions'>;

/**
 * Creates the handler of `document.index`. Always isolated, because it reads synchronously. Progress is `{ done, total }` files. Throws
 * `UnrecoverableError` if DOCUMENT_ROOT is not set, if the path is not a folder below it, or if DOCUMENT_EXTENSIONS does not allow an
 * extension; after an abort, the signal's reason.
 */
export function documentIndexHandler(settings: DocumentSettings): TaskHandler {
  return defineHandler(documentIndex, (context) => indexBelow(context, settings), { isolate: true });
}

async function indexBelow(
  context: TaskContext<DocumentIndexInput>,
  { documentRoot, documentExtensions }: DocumentSettings,
): Promise<DocumentIndexOutput> {
  const { input, signal } = context;
  signal.throwIfAborted();
  const root = await realRoot(documentRoot);
  const extensions = extensionsOf(input.extensions, documentExtensions);
  const folder = await findFolder(root, input.path);
  const tree = new DocumentTree(root);
  try {
    // A folder replaced by a link since it was found is refused here.
    if (!tree.hasFolder(folder)) throw new UnrecoverableError(`path ${quote(input.path)} is not a folder below DOCUMENT_ROOT`);
    return await indexDocuments(context, tree, folder, extensions);
  } finally {
    tree.close();
  }
}

/** @throws UnrecoverableError with the first extension that is not allowed */
function extensionsOf(wanted: readonly string[] | undefined, allowed: readonly string[]): readonly string[] {
  const endings = wanted?.map((extension) => extension.toLowerCase()) ?? allowed;
  // '.d.ts' names fewer files than '.ts'.
  const refused = endings.find((ending) => !allowed.some((extension) => ending.endsWith(extension)));
  if (refused === undefined) return endings;
  throw new UnrecoverableError(`extension ${quote(refused)} is not allowed: DOCUMENT_EXTENSIONS of the workers has ${allowed.join(', ')}`);
}

async function indexDocuments(
  { input, signal, progress }: TaskContext<DocumentIndexInput>,
  tree: DocumentTree,
  folder: Names,
  extensions: readonly string[],
): Promise<DocumentIndexOutput> {
  const turn = turns(signal);
  const found = await findFiles(tree, folder, { extensions, maxFiles: input.max_files, turn });
  const index = new TermIndex();
  const indexed: string[] = [];
  let [tokens, length, done] = [0, 0, 0];
  progress({ done, total: found.files.length });
  for (const file of found.files) {
    await turn();
    const text = readText(tree, file, input.max_file_bytes);
    length += text?.length ?? 0;
    if (length > MAX_LENGTH) break;
    if (text !== null) {
      tokens += index.add(text);
      indexed.push(file.slice(folder.length).join('/'));
    }
    done += 1;
    progress({ done, total: found.files.length });
  }
  const results: DocumentIndexOutput['results'] = [];
  for (const [document, path] of indexed.entries()) {
    await turn();
    results.push({ path, tokens: index.tokensOf(document), top_terms: index.topTerms(document, input.top_terms) });
  }
  return {
    root: folder.join('/') || '.',
    documents: index.documents,
    terms: index.terms,
    tokens,
    skipped: found.skipped + done - indexed.length,
    truncated: found.truncated || done < found.files.length,
    results,
  };
}

/**
 * Returns a function that lets the event loop turn after each TURN_MS of computing, so that an abort can arrive, and throws the signal's
 * reason after an abort.
 */
function turns(signal: AbortSignal): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since >= TURN_MS) {
      await nextTurn();
      since = performance.now();
    }
    signal.throwIfAborted();
  };
}
