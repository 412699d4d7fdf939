import { realpathSync } from 'node:fs';
import { delimiter, isAbsolute, join, relative, sep } from 'node:path';
import type { Io } from './io.js';

const NAME = 'taskfleet';
const LOCAL_BINARIES = join('node_modules', '.bin');

/**
 * Returns the command as a user of this shell can paste it: `taskfleet` if the PATH has this program, `npx taskfleet` if a project's
 * node_modules or npx's cache has it, else `node dist/cli/main.js`.
 */
export function invocationOf({ script, env, cwd }: Pick<Io, 'script' | 'env' | 'cwd'>): string {
  const program = script === null ? null : resolved(script);
  if (script === null || program === null) return NAME;
  // npx and npm scripts put the local binaries into the PATH of the programs that they run; the user's shell does not have them.
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '' && !folder.endsWith(LOCAL_BINARIES));
  if (folders.some((folder) => resolved(join(folder, NAME)) === program)) return NAME;
  if ([script, program].some((path) => path.includes(`${sep}node_modules${sep}`))) return `npx ${NAME}`;
  const path = relative(cwd, program);
  return `node ${path.startsWith('..') || isAbsolute(path) ? program : path}`;
}

function resolved(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
