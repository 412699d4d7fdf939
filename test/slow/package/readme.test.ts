import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { spawnNode } from '../../support/process/processes.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
let redis: TestRedis;
let folder: string;

before(async () => {
  redis = await startTestRedis();
  folder = await mkdtemp(join(tmpdir(), 'taskfleet-readme-'));
  await mkdir(join(folder, 'node_modules'));
  await symlink(root, join(folder, 'node_modules', 'taskfleet'), 'dir');
  await symlink(join(root, 'node_modules', 'zod'), join(folder, 'node_modules', 'zod'), 'dir');
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  for (const block of codeBlocks(await readFile(join(root, 'README.md'), 'utf8'))) await writeFile(join(folder, block.name), block.code);
});

after(async () => {
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

test("the README's service and task module run as printed", async () => {
  const env = { REDIS_URL: redis.url, TASK_MODULES: './tasks.js' };
  const worker = spawnNode([join(root, 'dist/cli/main.js'), 'worker'], { env, cwd: folder });
  try {
    const service = spawnNode(['service.js'], { env, cwd: folder });
    const { code } = await service.exit;
    assert.equal(code, 0, service.stderr.text);
    const [result, receipt] = service.stdout.lines;
    assert.equal(result, "{ text: 'Hello Ada' }");
    assert.match(receipt ?? '', /^cancelled signal \d+$/);
  } finally {
    await worker.stop();
  }
});

/** Returns the JavaScript blocks that begin with a comment with their file name. */
function codeBlocks(markdown: string): { name: string; code: string }[] {
  return [...markdown.matchAll(/^```js\n\/\/ (\S+)\n(.*?)^```$/gms)].map(([, name, code]) => ({
    name: name as string,
    code: code as string,
  }));
}
