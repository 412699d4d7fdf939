import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

/** Static imports and re-exports of values; type imports do not exist at run time. */
const IMPORT = /^(?:import|export)\s+(?!type\b)(?:[^;'"]*?\sfrom\s+)?'(\.[^']+)'/gm;

/** Returns all source files that a module loads by static imports, relative to the working directory. */
function loadedBy(entry: string): Set<string> {
  const found = new Set<string>();
  const pending = [entry];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    if (found.has(file)) continue;
    found.add(file);
    for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(IMPORT))
      pending.push(path.join(path.dirname(file), target.replace(/\.js$/, '.ts')));
  }
  return found;
}

/** Definitions may be loaded by producers; handlers and the rest of worker/ may not. */
const DEFINITIONS = /^worker\/builtin\/(definitions|[^/]+\/definition)\.ts$/;

for (const entry of ['index.ts', 'producer/index.ts', 'dashboard/index.ts']) {
  test(`${entry} loads definitions of built-in tasks but no handler`, () => {
    const files = [...loadedBy(entry)].filter((file) => file.startsWith('worker/'));
    assert.ok(files.includes('worker/builtin/definitions.ts'), 'definitions are loaded');
    assert.deepEqual(
      files.filter((file) => !DEFINITIONS.test(file)),
      [],
    );
  });
}

test('the search for imports finds the handlers behind a launcher', () => {
  const files = loadedBy('worker/launcher.ts');
  for (const file of ['worker/run/task-runner.ts', 'worker/builtin/pools/handlers.ts']) {
    assert.ok(existsSync(file), file);
    assert.ok(files.has(file), file);
  }
});
