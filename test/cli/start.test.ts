import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { spawnNode } from '../support/process/processes.js';

const ROOT = join(import.meta.dirname, '../..');
/** Packages that together take half a second to load. */
const SLOW = ['bullmq', 'ioredis', 'express', 'pino', 'piscina'] as const;
/** Lists the loaded CommonJS modules, including those loaded by `import`. */
const TELL = `data:text/javascript,${encodeURIComponent(`
  import { createRequire } from 'node:module';
  const { cache } = createRequire('/');
  process.on('exit', () => console.error('loaded ' + JSON.stringify(Object.keys(cache))));
`)}`;

/** Returns the packages of SLOW that a command loads. */
async function loadedBy(...args: string[]): Promise<string[]> {
  const command = spawnNode(['--import', TELL, join(ROOT, 'dist/cli/main.js'), ...args]);
  const [, files] = await command.waitForLine(/^loaded (.*)$/);
  await command.exit;
  return SLOW.filter((name) => (JSON.parse(files as string) as string[]).some((file) => file.includes(join('node_modules', name, '/'))));
}

describe('the command loads only the packages it needs', { concurrency: true }, () => {
  for (const args of [
    ['--version'],
    ['task', 'list', '--help'],
    ['task', 'list', '--api', 'http://127.0.0.1:1'],
    ['token', 'create', '--name', 'ada', '--role', 'viewer'],
  ]) {
    it(`and no more for ${args.join(' ')}`, async () => {
      assert.deepEqual(await loadedBy(...args), []);
    });
  }

  it('BullMQ, for commands over Redis', async () => {
    assert.deepEqual(await loadedBy('task', 'list', '--redis', 'redis://127.0.0.1:1'), ['bullmq', 'ioredis', 'pino']);
  });
});
