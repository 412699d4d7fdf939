/** `npm run docs:screenshot`: takes the screenshots of the README (overview) and of docs/reference/http.md (task list, task). */
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { openAs } from './gallery/open-as.js';
import { startSampleFleet } from './gallery/sample-fleet.js';
import { startChromium } from './support/chromium.js';

const FOLDER = join(import.meta.dirname, '../../../docs/images');
const SIZE = { width: 1_200, height: 780 };

const browser = await startChromium();
const sample = await startSampleFleet();
try {
  const { page } = await openAs(browser, sample.dashboard, 'operator');
  await page.setViewportSize(SIZE);
  await page.emulateMedia({ colorScheme: 'light' });
  await mkdir(FOLDER, { recursive: true });
  await page.locator('.uplot').nth(3).waitFor();
  await takeScreenshot(page, 'overview');
  await page.goto(`${sample.dashboard.url}tasks`);
  await page.locator('tr[data-id="index-handbook"]').waitFor();
  await takeScreenshot(page, 'tasks');
  await page.goto(`${sample.dashboard.url}tasks/invoice-1042`);
  await page.locator('#attempts > li').nth(2).waitFor();
  await page.locator('#attempts').getByText('Stack').first().click();
  await takeScreenshot(page, 'task');
} finally {
  await browser.close();
  await sample.stop();
}

async function takeScreenshot(page: Page, name: string): Promise<void> {
  await page.locator('#link[data-state="live"]').waitFor();
  await page.waitForLoadState('networkidle').catch(() => undefined);
  // Host names and paths of this machine say nothing to readers.
  await page.evaluate(`{
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { data } = texts.currentNode;
      const named = data.replaceAll(${JSON.stringify(hostname())}, 'node-1');
      const plain = named.replaceAll(/(?:file:\\/\\/)?\\/[\\w./-]*\\/(test|shared|worker|node_modules)\\//g, '/app/$1/');
      if (plain !== data) texts.currentNode.data = plain;
    }
  }`);
  await page.screenshot({ path: join(FOLDER, `${name}.png`) });
}
