import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { TaskHandler } from '../../../worker/index.js';
import { builtUrl } from '../../support/process/built.js';

/** Compiled: threads load modules without the loader of the tests. */
const { runHandler } = (await import(builtUrl('dist/testing/index.js'))) as typeof import('../../../testing/index.js');

const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${builtUrl('dist/worker/index.js')}';
import { isMainThread } from 'node:worker_threads';

const task = defineTask({ name: 'spin.round', input: z.object({ spins: z.boolean() }), chunk: z.string() });
const handle = ({ input, emit }) => {
  emit(isMainThread ? 'main' : 'thread');
  while (input.spins);
  return 'done';
};
export default [defineHandler(task, handle, { isolate: true })];
`;

const folder = await mkdtemp(join(tmpdir(), 'taskfleet-isolated-'));
after(() => rm(folder, { recursive: true }));
await writeFile(join(folder, 'tasks.mjs'), MODULE);
const module = pathToFileURL(join(folder, 'tasks.mjs'));
const [handler] = ((await import(module.href)) as { default: [TaskHandler] }).default;

test('an isolated handler runs in its thread', async () => {
  const run = await runHandler(handler, { spins: false }, { module });
  assert.deepEqual([run.outcome, run.result, run.chunks, run.abort], ['completed', 'done', ['thread'], null]);
});

test('an isolated handler that never looks at its signal is terminated with its thread', async () => {
  const run = await runHandler(handler, { spins: true }, { module, stopAfter: 'first-chunk', graceMs: 50 });
  assert.deepEqual([run.outcome, run.chunks, run.heededSignal, run.abort?.abandoned], ['cancelled', ['thread'], false, true]);
});
