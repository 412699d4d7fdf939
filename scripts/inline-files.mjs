// Replaces the compiled modules that read files of the sources by modules that contain what they would read. A program that is bundled
// with this package then needs no file beside it.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SCRIPTS = 'shared/scripts';

/** The replaced modules, without extension, each with its new text. The exports stay the same. */
const MODULES = {
  [`${SCRIPTS}/script-texts`]: (root) => `const TEXTS = ${JSON.stringify(scriptTexts(join(root, SCRIPTS)), null, 2)};
export function scriptText(file) {
  return TEXTS[file];
}
`,
  'shared/package/version': (root) => `export function packageVersion() {
  return ${JSON.stringify(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version)};
}
`,
};

/**
 * @param root folder of the sources
 * @param dist folder of the compiled modules
 */
export function inlineFiles(root, dist) {
  for (const [module, textOf] of Object.entries(MODULES)) {
    writeFileSync(join(dist, `${module}.js`), textOf(root));
    // The map describes the module that read the files.
    rmSync(join(dist, `${module}.js.map`), { force: true });
  }
}

/** Returns the texts of the Lua files by their path below the folder, without extension. */
function scriptTexts(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.lua'));
  const nameOf = (file) => file.replaceAll('\\', '/').replace(/\.lua$/, '');
  return Object.fromEntries(files.toSorted().map((file) => [nameOf(file), readFileSync(join(folder, file), 'utf8')]));
}
