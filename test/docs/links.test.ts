import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { before, describe, test } from 'node:test';
import { anchorsOf, linksOf, markdownFiles, proseOf, root } from '../support/docs/markdown.js';

/** The prose of every page by its path. */
const pages = new Map<string, string>();

before(async () => {
  for (const path of await markdownFiles()) pages.set(path, await proseOf(path));
});

describe('the documentation', () => {
  test('has no broken link and no broken anchor', async () => {
    const broken: string[] = [];
    for (const [page, prose] of pages) {
      for (const link of linksOf(prose)) {
        if (/^[a-z]+:/i.test(link)) continue;
        const problem = await problemOf(page, link);
        if (problem !== null) broken.push(`${page}: ${link}: ${problem}`);
      }
    }
    assert.deepEqual(broken, []);
  });

  test('links every page from the index of docs/ or of its folder', () => {
    const indexed = new Set<string>();
    for (const [page, prose] of pages) {
      if (!page.endsWith('README.md')) continue;
      for (const link of linksOf(prose)) indexed.add(normalize(join(dirname(page), link.replace(/#.*/, ''))));
    }
    const lost = [...pages.keys()].filter((page) => page.startsWith('docs/') && page !== 'docs/README.md' && !indexed.has(page));
    assert.deepEqual(lost, []);
  });
});

/** Returns what is wrong with a relative link of a page, or null. */
async function problemOf(page: string, link: string): Promise<string | null> {
  const [path = '', anchor] = link.split('#', 2).map(decodeURIComponent);
  const target = path === '' ? page : normalize(join(dirname(page), path));
  if (target.startsWith('..')) return 'leaves the repository';
  const found = await stat(join(root, target)).catch(() => null);
  if (found === null) return 'no such file';
  if (anchor === undefined) return null;
  const prose = pages.get(target);
  if (prose === undefined) return 'anchors are checked in Markdown files only';
  return anchorsOf(prose).has(anchor) ? null : 'no such heading';
}
