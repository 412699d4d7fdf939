import { existsSync } from 'node:fs';
import { FleetError } from '../errors.js';

/** Ends a message; docs/compatibility.md has the settings of each bundler. */
const ADVICE =
  'A bundle does not contain it: keep taskfleet out of the bundle (esbuild: --external:taskfleet, webpack: externals) and install the package beside it.';

/**
 * Returns the URL of a file of this package that is read at run time, or is the entry module of a thread.
 * @param path below the package's modules, without extension for a module: compiled, or source under a loader
 * @throws FleetError `PACKAGE_FILE_MISSING` in a program that is bundled with this package
 */
export function packageFile(path: string): URL {
  // Undefined in a CommonJS bundle; in another, the bundle's own URL or one of the machine that built it.
  const here = import.meta.url as string | undefined;
  const file = here === undefined ? null : new URL(`../../${path}${/\.\w+$|\/$/.test(path) ? '' : here.slice(-'.ts'.length)}`, here);
  if (file !== null && existsSync(file)) return file;
  throw new FleetError('PACKAGE_FILE_MISSING', `The file ${path} of taskfleet is missing. ${ADVICE}`, { details: { file: path } });
}
