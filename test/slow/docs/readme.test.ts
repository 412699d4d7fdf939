import assert from 'node:assert/strict';
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { missingOutput } from '../../support/docs/expected-output.js';
import { fencesOf } from '../../support/docs/fences.js';
import { root } from '../../support/docs/markdown.js';
import { type Page, readPage } from '../../support/docs/snippets.js';
import { Example } from '../../support/examples/example.js';
import { packedTarball } from '../../support/examples/tarball.js';
import { installNode } from '../../support/process/node-version.js';
import { ownPort } from '../../support/process/ports.js';
import { removeAtExit } from '../../support/process/reaper.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';

/** A Node that runs `.ts` files. */
const NODE_WITH_TYPES = 24;

describe('README.md, pasted into a new folder', () => {
  let folder: string;
  let redis: TestRedis;
  let page: Page;
  let install: string;
  let start: string[];
  let seconds: number;

  before(async () => {
    redis = await startTestRedis();
    folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-readme-')));
    removeAtExit(folder);
    const markdown = await readFile(join(root, 'README.md'), 'utf8');
    page = readPage('README.md', markdown);
    const [first, second] = fencesOf(markdown).filter(({ language }) => language === 'sh');
    install = `${first?.code}`.replace('npm install taskfleet', `npm install --prefer-offline ${await packedTarball()}`);
    start = `${second?.code}`.trim().split('\n');
    const startedAt = performance.now();
    await new Example(folder, process.execPath, {}).run('bash', ['-ec', install]);
    seconds = (performance.now() - startedAt) / 1_000;
  });
  after(async () => {
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });

  for (const language of ['ts', 'js']) {
    test(`the service prints the first result and the receipt, as .${language}`, async (t) => {
      const node = language === 'ts' ? await installNode(NODE_WITH_TYPES) : process.execPath;
      assert.ok(node !== null, `npm could not install Node ${NODE_WITH_TYPES}`);
      const port = await ownPort();
      const project = new Example(join(folder, 'hello'), node, { REDIS_URL: redis.url, API_PORT: String(port) });
      t.after(() => project.stop());
      const named = (text: string): string => text.replaceAll(/(?<=[\w-])\.ts\b/g, `.${language}`);
      for (const { name, code } of page.files) await writeFile(join(folder, 'hello', named(name)), named(code));

      const startedAt = performance.now();
      const [fleet = '', service = ''] = start;
      project.start('bash', ['-c', named(fleet).replace(/^(\S+) (.*?) &.*$/, '$1 exec $2')]);
      const run = project.start('bash', ['-c', `exec ${named(service)}`]);
      await run.waitForLine(/Hello Ada/);
      const total = seconds + (performance.now() - startedAt) / 1_000;
      t.diagnostic(`first result ${total.toFixed(1)} s after the first command, ${seconds.toFixed(1)} s of them for npm`);
      const { code } = await run.exit;
      assert.equal(code, 0, run.stderr.text);
      const step = page.steps.find(({ blocks }) => blocks.join('').includes(service));
      assert.ok(step !== undefined);
      assert.equal(missingOutput(page, step, run.stdout.text), null, run.stdout.text);
    });
  }
});
