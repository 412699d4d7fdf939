import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { spawnNode } from '../support/processes.js';

const ROOT = join(import.meta.dirname, '../..');
/** Half a second to load, together. */
const SLOW = ['bullmq', 'ioredis', 'express', 'pino', 'piscina'] as const;
/** Node knows the CommonJS modules that were loaded, also those that came by an `import`. */
const TELL = `data:text/javascript,${encodeURIComponent(`
  import { createRequire } from 'node:module';
  const { cache } = createRequire('/');
  process.on('exit', () => console.error('loaded ' + JSON.stringify(Object.keys(cache))));
`)}`;

/** Those of SLOW that a command has loaded, run with the packages as they are installed. */
async function loadedBy(...args: string[]): Promise<string[]> {
  const command = spawnNode(['--import', TELL, join(ROOT, 'dist/cli/main.js'), ...args]);
  const [, files] = await command.waitForLine(/^loaded (.*)$/);
  await command.exit;
  return SLOW.filter((name) => (JSON.parse(files as string) as string[]).some((file) => file.includes(join('node_modules', name, '/'))));
}

describe('the command loads what it needs', { concurrency: true }, () => {
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

  it('such as BullMQ, to ask Redis', async () => {
    assert.deepEqual(await loadedBy('task', 'list', '--redis', 'redis://127.0.0.1:1'), ['bullmq', 'ioredis', 'pino']);
  });
});
