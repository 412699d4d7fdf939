import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The folder that build-tests.ts has made; it puts this in. Elsewhere, such as in the benchmarks, there is none. */
declare const TESTED_PACKAGE: string | undefined;
const folder = typeof TESTED_PACKAGE === 'undefined' ? join(import.meta.dirname, '../../..') : TESTED_PACKAGE;

/**
 * A file of the package as the tests run it, `dist/cli/main.js`, or a module beside them that imports it,
 * `test/cli/tasks.mjs`: in a copy that stays as it is when dist/ is built again.
 */
export function built(path: string): string {
  return join(folder, path);
}

/** The same as a URL, for an import. */
export function builtUrl(path: string): string {
  return pathToFileURL(built(path)).href;
}
