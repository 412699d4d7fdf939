import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The folder made by build-tests.ts, which defines this name. Undefined elsewhere, such as in the benchmarks. */
declare const TESTED_PACKAGE: string | undefined;
const folder = typeof TESTED_PACKAGE === 'undefined' ? join(import.meta.dirname, '../../..') : TESTED_PACKAGE;

/**
 * Returns the path of a file of the tested package, `dist/cli/main.js`, or of a module that imports it, `test/cli/commands/tasks.mjs`, in a
 * copy that does not change when dist/ is built again.
 */
export function built(path: string): string {
  return join(folder, path);
}

/** Returns the same path as a URL, for an import. */
export function builtUrl(path: string): string {
  return pathToFileURL(built(path)).href;
}
