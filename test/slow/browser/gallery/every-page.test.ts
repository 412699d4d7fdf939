import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { violationsOf } from '../support/check-page.js';
import { noChromium, startChromium } from '../support/chromium.js';
import { openAs } from './open-as.js';
import { type SampleFleet, startSampleFleet } from './sample-fleet.js';

const WIDTHS = [390, 1_024, 1_440] as const;
const THEMES = [
  ['light', 'all'],
  ['dark', 'colours'],
] as const;

/** The part of a problem that pages show. */
const OUTAGE = { code: 'REDIS_UNAVAILABLE', status: 503, detail: 'Redis is unavailable.' };

describe('every page of a fleet with tasks of all kinds', { skip: noChromium }, () => {
  let sample: SampleFleet;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  const problems: string[] = [];

  before(async () => {
    browser = await startChromium();
    sample = await startSampleFleet();
    ({ context, page } = await openAs(browser, sample.dashboard, 'admin'));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') problems.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.stack ?? error.message}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(sample.dashboard.url)) problems.push(`${page.url()}: request to ${request.url()}`);
    });
  });
  after(async () => {
    await browser?.close();
    await sample?.stop();
  });

  async function open(path: string): Promise<void> {
    await page.unrouteAll();
    await page.goto(sample.dashboard.url + path);
    await page.locator('#link[data-state="live"], p#retry').first().waitFor();
  }

  test('is clean for axe in both themes, and fits its width', async () => {
    const found: string[] = [];
    for (const [name, path] of sample.pages) {
      await open(path);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        if (Number(await page.evaluate('document.documentElement.scrollWidth')) > width) found.push(`${name} is wider than ${width} px`);
        if (width === 1_024) continue;
        // Colours differ by theme, everything else by width.
        for (const [colorScheme, rules] of THEMES) {
          await page.emulateMedia({ colorScheme });
          found.push(...(await violationsOf(page, rules)).map((one) => `${name}, ${width} px, ${colorScheme}: ${one}`));
        }
      }
    }
    assert.deepEqual(found, []);
  });

  test('has readable colours while it is stale, and says so', async () => {
    await page.setViewportSize({ width: 1_440, height: 900 });
    const found: string[] = [];
    for (const [name, path] of sample.pages.filter(([one]) => one !== 'not-found')) {
      await open(path);
      await page.route('**/api/v1/**', (route) => route.fulfill({ status: 503, json: OUTAGE }));
      await page.locator('#stale').getByText('Redis is unavailable').waitFor();
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        found.push(...(await violationsOf(page, 'colours')).map((one) => `${name}, stale, ${colorScheme}: ${one}`));
      }
    }
    assert.deepEqual(found, []);
  });

  test('has the failures of the last hour in its title, and names the paused queue', async () => {
    for (const [name, path] of sample.pages.filter(([one]) => one !== 'not-found')) {
      await open(path);
      await page.waitForFunction('/^\\(\\d[\\d,]* failed\\) .+ · taskfleet$/.test(document.title)');
      await page
        .locator('#paused')
        .getByText(/Queue reports is paused since \d\d:\d\d by olga: the printer is on fire/)
        .waitFor();
      assert.equal(await page.locator('header nav a[aria-current]').count(), 1, `${name} marks no page in the navigation`);
    }
  });

  test('is used with the keyboard: shortcuts, their help, and the way to another page', async () => {
    await open('schedules');
    await page.keyboard.press('Tab');
    await page.getByText('Skip to main content').waitFor();
    assert.equal(await page.evaluate('document.activeElement.className'), 'skip');
    await page.keyboard.press('j');
    assert.equal(await page.evaluate('document.activeElement.closest("tr")?.dataset.id'), 'mail.sync');
    await page.keyboard.press('?');
    const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
    await help.getByText('Next schedule').waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Escape');
    await help.waitFor({ state: 'detached' });
    assert.equal(await page.evaluate('document.activeElement.closest("tr")?.dataset.id'), 'mail.sync', 'a dialog gives the focus back');
    const run = page.locator('tr[data-id="mail.sync"]').getByRole('button', { name: 'Run now' });
    await run.focus();
    await page.keyboard.press('Enter');
    const outcome = page.getByRole('group', { name: 'Outcome' });
    await outcome.getByText('Enqueued mail.sync as task').waitFor();
    const [at, shown] = [await run.boundingBox(), await outcome.boundingBox()];
    assert.ok(at && shown && Math.abs(shown.y - at.y) < 100, 'the outcome is away from the button');
    for (const [key, path] of [
      ['l', 'limits'],
      ['a', 'audit'],
      ['s', 'schedules'],
    ] as const) {
      await page.keyboard.press('g');
      await page.keyboard.press(key);
      await page.waitForURL(`**/${path}`);
      await page.locator('#link[data-state="live"]').waitFor();
    }
  });

  test('the audit is filtered, and keeps its filter in the address', async () => {
    await open('audit');
    await page.locator('tr[data-outcome="denied"]').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('olga');
    await page.keyboard.press('Enter');
    await page.locator('tr[data-outcome="denied"]').first().waitFor({ state: 'detached' });
    await page.getByLabel('Action').fill('task.s');
    await page.getByLabel('Action').press('Enter');
    await page.waitForURL('**/audit?name=olga&action=task.s');
    await page.getByText('sent twice').waitFor();
    await page.reload();
    await page.locator('#shown').getByText('1 record, 0 denied').waitFor();
    assert.equal(await page.getByLabel('Who').inputValue(), 'olga');
    await page.getByRole('link', { name: 'later-3' }).click();
    await page.waitForURL('**/tasks/later-3');
  });

  test('logs no error, and asks nobody else', async () => {
    await context.close();
    // The browser reports the answers 404 and 503 of the tests above.
    assert.deepEqual(
      problems.filter((problem) => !/status of (?:404|503)/.test(problem)),
      [],
    );
  });
});
