import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { openAs } from './gallery/open-as.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS, checkPage } from './support/check-page.js';
import { noChromium, startChromium } from './support/chromium.js';

const pay = defineTask({ name: 'invoice.pay', queue: 'invoices', input: z.object({ error: z.string().nullable() }), retention: KEEP });
const paying = defineHandler(pay, ({ input: { error } }) => {
  if (error !== null) throw new RangeError(error);
  return Promise.resolve(null);
});

describe('the overview in a browser', { skip: noChromium }, () => {
  let fleet: TestFleet;
  let producer: Producer;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  const problems: string[] = [];

  before(async () => {
    browser = await startChromium();
    fleet = await TestFleet.start();
    await mkdir(SCREENSHOTS, { recursive: true });
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    ({ context, page } = await openAs(browser, dashboard, 'operator'));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(error.stack ?? error.message));
  });
  after(async () => {
    await context?.close();
    await browser?.close();
    await dashboard?.close();
    await fleet?.stop();
  });

  test('says what to do next in an empty fleet', async () => {
    await page.getByRole('link', { name: 'No worker is alive: no task runs until one starts' }).waitFor();
    await page.getByText('No task failed in the last hour.').waitFor();
    await page.getByText('No queue has tasks. Start a worker with taskfleet worker, then enqueue one.').waitFor();
    await page.getByText('No task ended in the last hour. Choose a longer range, or start one: taskfleet task enqueue').waitFor();
    await page.getByText('7 d', { exact: true }).click();
    await page.getByText('No task ended in the last 7 days.').waitFor();
    assert.equal(new URL(page.url()).search, '?range=7d');
    await page.keyboard.press('1');
    await page.getByText('No task ended in the last hour.').waitFor();
  });

  test('leads from the failures to the stack of a task in two clicks', async () => {
    const worker = await fleet.worker(producer.store.keys.prefix, [paying]);
    const errors = ['card 17 declined', 'card 18 declined', 'no route to bank', null];
    await Promise.all(errors.map(async (error) => producer.result(await producer.enqueue(pay, { error })).catch(() => undefined)));
    // A worker sends its last counts when it stops.
    await worker.stop();
    await page.goto(dashboard.url);
    const row = page.locator('#failures tr[data-id="invoice.pay"]');
    await row.getByText('2 of the latest 3').waitFor();
    await row.getByRole('link', { name: 'invoice.pay' }).click();
    await page.waitForURL('**/tasks?state=failed&name=invoice.pay&finished_after=1h');
    await page.getByText('no route to bank').first().waitFor();
    assert.equal(await page.locator('tr[data-id]').count(), 3);
    await page.locator('tr[data-id] a[href*="tasks/"]').first().click();
    await page.locator('#attempts').getByText('RangeError').first().waitFor();
    await page.getByText('at ').first().waitFor({ state: 'attached' });
  });

  test('shows the history of all tasks or one, as charts and as a table', async () => {
    await page.goto(`${dashboard.url}?range=24h&task=invoice.pay`);
    await page.getByText('invoice.pay: 4 tasks, 3 failed').waitFor();
    await page.locator('.uplot').nth(3).waitFor();
    assert.equal(await page.locator('#name').inputValue(), 'invoice.pay');
    await page.getByText('Show the charts as a table').click();
    await page.locator('#points tr').nth(143).waitFor();
    const counted = page.locator('#points tr').filter({ has: page.locator('td:nth-child(4)', { hasText: /^3$/ }) });
    await counted.first().waitFor();
    // A click on the chosen name shows all again.
    await page.locator('#names').getByRole('button', { name: 'invoice.pay' }).click();
    await page.getByText(/^4 tasks, 3 failed/).waitFor();
    assert.equal(new URL(page.url()).search, '?range=24h');
    await page.locator('#names').getByRole('link', { name: '3' }).click();
    await page.waitForURL('**/tasks?state=failed&name=invoice.pay&finished_after=24h');
  });

  test('keeps the focus while it refreshes, and names a paused queue', async () => {
    await page.goto(dashboard.url);
    const link = page.locator('#tiles a').first();
    await link.focus();
    await producer.queues.pause('invoices', { by: 'olga', reason: 'bank is down' });
    await producer.enqueue(pay, { error: null });
    await page.locator('#needs').getByText('bank is down').waitFor();
    await page.locator('#queues tr[data-id="invoices"]').getByText('paused').waitFor();
    assert.equal(await link.evaluate((element) => element === element.ownerDocument.activeElement), true);
    await page.locator('#queues tr[data-id="invoices"] td[data-label="Queued"] a').click();
    await page.waitForURL('**/tasks?queue=invoices&state=queued');
    await page.goto(dashboard.url);
    await page.locator('.uplot').nth(3).waitFor();
    await checkPage(page, 'overview');
    assert.deepEqual(problems, []);
  });
});
