import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';

/** The folder of the screenshots, for people to look at: no test reads them. */
export const SCREENSHOTS = join(tmpdir(), 'taskfleet-pages');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface AxeResults {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
}

/** Checks a page wide and light, then narrow and dark: no overflow, no axe violations. Takes a screenshot of each. */
export async function checkPage(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(SCREENSHOTS, `${name}-1280.png`) });
  assert.deepEqual(await violationsOf(page), [], `${name}, wide`);
  await page.setViewportSize({ width: 390, height: 1_100 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}-390.png`) });
  assert.deepEqual(await violationsOf(page), [], `${name}, narrow`);
  assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 390, `${name} is wider than a phone`);
  await page.setViewportSize({ width: 1_280, height: 800 });
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Returns what axe finds on a page, with the elements: in all its rules, which takes seconds, or in the only one that the theme decides. */
export async function violationsOf(page: Page, rules: 'all' | 'colours' = 'all'): Promise<string[]> {
  // Evaluated rather than injected: the content security policy would block a script element.
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(AXE);
  const only = rules === 'colours' ? "runOnly: ['color-contrast']," : '';
  const { violations } = await page.evaluate<AxeResults>(`axe.run({ ${only} resultTypes: ['violations'], elementRef: false })`);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}
