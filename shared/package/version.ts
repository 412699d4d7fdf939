import { readFileSync } from 'node:fs';

/** Returns the version of this package. For sources only: in dist/, the build replaces this module by one that contains the version. */
export function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string };
  return manifest.version;
}
