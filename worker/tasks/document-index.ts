import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Settings } from '../../shared/settings.js';
import { type DocumentIndexInput, type DocumentIndexOutput, documentIndex } from '../../shared/task/builtin/index.js';
import { defineHandler, type TaskContext, type TaskHandler } from '../../shared/task/handler.js';
import { findFiles, portablePath, readText, resolveBelow } from './document-files.js';
import { TermIndex } from './term-index.js';

/** How long the thread computes before it looks whether it should stop. */
const TURN_MS = 20;

/**
 * The handler of `document.index`. Always isolated. Progress is `{ done, total }` files.
 * Throws `UnrecoverableError` if the path is not a folder below DOCUMENT_ROOT, and the signal's reason after an abort.
 */
export function documentIndexHandler(settings: Pick<Settings, 'documentRoot'>): TaskHandler {
  return defineHandler(documentIndex, (context) => indexDocuments(context, settings.documentRoot), { isolate: true });
}

async function indexDocuments(context: TaskContext<DocumentIndexInput>, documentRoot: string): Promise<DocumentIndexOutput> {
  const { input, signal } = context;
  signal.throwIfAborted();
  const { root, folder } = await resolveBelow(documentRoot, input.path);
  const found = await findFiles(folder, input.extensions, input.max_files, signal);
  const turn = turns(signal);
  const index = new TermIndex();
  const indexed: string[] = [];
  let tokens = 0;
  context.progress({ done: 0, total: found.paths.length });
  for (const [position, path] of found.paths.entries()) {
    await turn();
    const text = await readText(path, input.max_file_bytes);
    if (text !== null) {
      tokens += index.add(text);
      indexed.push(portablePath(folder, path));
    }
    context.progress({ done: position + 1, total: found.paths.length });
  }
  const results: DocumentIndexOutput['results'] = [];
  for (const [document, path] of indexed.entries()) {
    await turn();
    results.push({ path, tokens: index.tokensOf(document), top_terms: index.topTerms(document, input.top_terms) });
  }
  return {
    root: portablePath(root, folder),
    documents: index.documents,
    terms: index.terms,
    tokens,
    skipped: found.skipped + found.paths.length - indexed.length,
    truncated: found.truncated,
    results,
  };
}

/**
 * Lets the event loop turn whenever TURN_MS of computing are over, so that the abort can arrive.
 * The function throws the signal's reason after an abort.
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
