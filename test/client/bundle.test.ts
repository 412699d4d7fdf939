import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const LIMIT_BYTES = 6_000;
const ENTRY = fileURLToPath(new URL('../../client/index.ts', import.meta.url));

test('is under 6 kB for a browser, with the parser of event streams and nothing else of the server', async () => {
  const { outputFiles, metafile } = await build({
    ...{ entryPoints: [ENTRY], bundle: true, minify: true, write: false, metafile: true, logLevel: 'silent' },
    ...{ platform: 'browser', format: 'esm', target: 'es2022' },
  });
  const [output] = outputFiles;
  assert.ok(output);
  const bytes = gzipSync(output.contents).length;
  assert.ok(bytes < LIMIT_BYTES, `${bytes} bytes gzipped`);
  const foreign = Object.keys(metafile.inputs).filter((path) => !/(?:^|\/)client\/[\w-]+\.ts$/.test(path));
  assert.deepEqual(foreign.map((path) => path.replace(/.*(?=node_modules\/|shared\/)/, '')).sort(), [
    'node_modules/eventsource-parser/dist/index.js',
    'shared/events/state-changes.ts',
    'shared/task/state.ts',
  ]);
});
