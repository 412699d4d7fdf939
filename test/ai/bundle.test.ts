import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const DOOR = fileURLToPath(new URL('../../ai/index.ts', import.meta.url));
const LIMIT_BYTES = 8_500;

test('a page gets the transport and the client, and neither schemas nor the handler half', async () => {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export { TaskfleetChatTransport } from ${JSON.stringify(DOOR)}`, resolveDir: dirname(DOOR) },
    ...{ bundle: true, minify: true, write: false, metafile: true, logLevel: 'silent' },
    ...{ platform: 'browser', format: 'esm', target: 'es2022', external: ['ai'] },
  });
  const [output] = outputFiles;
  assert.ok(output);
  const bytes = gzipSync(output.contents).length;
  assert.ok(bytes < LIMIT_BYTES, `${bytes} bytes gzipped`);
  const [bundled] = Object.values(metafile.outputs);
  assert.deepEqual(bundled?.imports, []);
  const used = Object.entries(bundled.inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []));
  assert.deepEqual(
    used.filter((path) => /zod|emit-|chunk-writer/.test(path)),
    [],
  );
});
