import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fillBlocks, publishRun } from '../../../bench/command/publish.js';
import type { StoredRun } from '../../../bench/command/stored-run.js';
import { type Published, defineSuite } from '../../../bench/harness/suite.js';
import { folderOf } from '../../support/folder.js';

const RUN: StoredRun = {
  at: '2026-11-30T12:00:00.000Z',
  machine: { taskfleet: '0.1.0', cpu: 'CPU', cores: 2, memoryGb: 24, os: 'Linux', node: 'v20', redis: '7.0', load: 2.5 },
  suites: [
    {
      name: 'memory',
      about: '',
      sizes: { rounds: 1, live: 10_000 },
      rows: [{ name: 'a task', unit: 'bytes', sides: { total: [700] } }],
      notes: [],
    },
  ],
};
const PAGE = [
  '# Page',
  '<!-- bench: memory -->',
  'old',
  '<!-- /bench -->',
  'text',
  '<!-- bench: other -->',
  'kept',
  '<!-- /bench -->',
  '',
].join('\n');

describe('The results in the documentation', () => {
  it('replace the blocks of their names, and no other text', async (t) => {
    const root = await folderOf(t, { 'docs/guides/page.md': PAGE, 'docs/other.md': '# Other\n' });
    const publish = (): Published => ({ blocks: {}, files: { 'docs/images/plot.svg': '<svg/>' } });
    const suite = defineSuite({
      name: 'memory',
      about: '',
      sizes: { rounds: { full: 1, quick: 1 } },
      publish,
      run: () => Promise.reject(new Error()),
    });
    assert.deepEqual((await publishRun(root, RUN, [suite])).toSorted(), ['docs/guides/page.md', 'docs/images/plot.svg']);
    const page = await readFile(join(root, 'docs/guides/page.md'), 'utf8');
    assert.equal(page, PAGE.replace('old', ['', '|  | unit | total |', '| --- | --- | ---: |', '| a task | bytes | 700 |', ''].join('\n')));
    assert.equal(await readFile(join(root, 'docs/images/plot.svg'), 'utf8'), '<svg/>');
    assert.deepEqual(await publishRun(root, RUN, []), []);
  });

  it('say where they were measured, and whether the machine was busy', async (t) => {
    const root = await folderOf(t, { 'docs/page.md': '<!-- bench: memory/machine -->\n<!-- /bench -->\n' });
    await publishRun(root, RUN, []);
    assert.match(
      await readFile(join(root, 'docs/page.md'), 'utf8'),
      /^Measured on 2026-11-30: taskfleet 0\.1\.0, 2 × CPU, .*; rounds 1, live 10,000\. Warning: the load was 2\.50/m,
    );
  });

  it('leave markers without an end alone', () => {
    const page = '<!-- bench: memory -->\ntext\n';
    assert.equal(fillBlocks(page, new Map([['memory', 'table']])), page);
  });
});
