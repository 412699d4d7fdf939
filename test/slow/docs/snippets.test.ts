import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadSettings } from '../../../shared/settings/settings.js';
import { isExcerpt } from '../../support/docs/excerpt.js';
import { markdownFiles, root } from '../../support/docs/markdown.js';
import { PageFolders } from '../../support/docs/page-folders.js';
import { runPage } from '../../support/docs/run-page.js';
import { type Page, readPage } from '../../support/docs/snippets.js';
import { startTestRedis } from '../../support/redis/test-redis.js';

/** Every fence of these pages is run. */
const RUN = /^(?:README|docs\/embedding|docs\/guides\/.+)\.md$/;
const paths = (await markdownFiles()).filter((path) => RUN.test(path));

describe('the snippets of', { concurrency: 2 }, () => {
  let folders: PageFolders;
  const pages = new Map<string, Page>();

  before(async () => {
    for (const path of paths) pages.set(path, readPage(path, await readFile(join(root, path), 'utf8')));
    folders = await PageFolders.create([...pages.values()]);
  });
  after(() => folders.remove());

  for (const path of paths) {
    test(path, async (t) => {
      const page = pages.get(path) as Page;
      assert.deepEqual(page.problems, []);
      for (const { line, env } of page.settings) assert.doesNotThrow(() => loadSettings(env), `${path}:${line}`);
      for (const excerpt of page.excerpts) {
        const file = await readFile(join(root, excerpt.path), 'utf8').catch(() => '');
        assert.ok(isExcerpt(excerpt.code, file), `${path}:${excerpt.line}: ${excerpt.path} has no such lines`);
      }
      for (const { line, path: runner } of page.tests) {
        const source = await readFile(join(root, runner), 'utf8').catch(() => '');
        assert.ok(source.includes(path.replace(/^docs\/(?!\w+\.md)/, '')), `${path}:${line}: ${runner} does not name this page`);
      }
      assert.deepEqual(folders.typeErrorsOf(page), []);
      const redis = await startTestRedis();
      t.after(() => redis.stop());
      await runPage(page, folders.of(page), redis.url);
    });
  }
});
