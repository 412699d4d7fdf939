import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { defineHandler, defineTask } from '../../../worker/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS, checkPage } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

const MANY = 5_000;
const MAILS = 30;
const input = z.object({ to: z.string() });
const define = (name: string) => defineTask({ name, input, retention: KEEP });
const [invoice, mail, idle] = [define('invoice.send'), define('mail.deliver'), define('export.csv')];

describe('the list of tasks in a browser', { skip: noChromium }, () => {
  let fleet: TestFleet;
  let producer: Producer;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let watched: Watched;
  let olga: BrowserContext;
  let broken = true;

  before(async () => {
    [browser, fleet] = await Promise.all([startChromium(), TestFleet.start()]);
    await mkdir(SCREENSHOTS, { recursive: true });
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    const run = (): string => {
      if (broken) throw new Error('connect ECONNREFUSED 10.0.3.7:5432');
      return 'sent';
    };
    await fleet.worker(prefix, [defineHandler(invoice, run), defineHandler(mail, run)], { concurrency: 50 });
    const to = (count: number, options: (index: number) => object) =>
      Array.from({ length: count }, (_, index) => ({ input: { to: `${index}@example.com` }, ...options(index) }));
    await producer.enqueueMany(
      invoice,
      to(MANY, (index) => ({ item: `customer:${index % 50}` })),
    );
    await producer.enqueueMany(
      mail,
      to(MAILS, (index) => ({ id: `mail-${index}`, tags: [`tenant:${index % 10}`, 'nightly'] })),
    );
    await producer.enqueueMany(
      idle,
      to(3, (index) => ({ id: `idle-${index}` })),
    );
    const kept = [invoice, mail].map(({ name, queue }) => fleet.keys(prefix).kept(queue, 'failed', name));
    await until(
      async () => (await Promise.all(kept.map((key) => fleet.client.zcard(key)))).reduce((sum, count) => sum + count, 0),
      (count) => count === MANY + MAILS,
      { everyMs: 200, timeoutMs: 270_000 },
    );
    broken = false;
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    watched = new Watched(dashboard.origin);
    olga = await browser.newContext({ viewport: { width: 1_440, height: 900 }, reducedMotion: 'reduce' });
    const page = await watched.open(olga);
    await page.goto(`${dashboard.url}tasks`);
    await page.getByLabel('Token').fill(dashboard.tokens.operator);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('tr[data-id="idle-0"]').waitFor();
    await page.close();
  });
  after(async () => {
    await browser?.close();
    await dashboard?.close();
    await fleet?.stop();
  });

  async function go(path: string): Promise<Page> {
    const page = await watched.open(olga);
    await page.goto(dashboard.url + path);
    return page;
  }

  const rows = (page: Page) => page.locator('#rows tbody tr');
  const shows = (page: Page, number: number) =>
    until(
      () => rows(page).count(),
      (count) => count === number,
      { everyMs: 100 },
    );

  test('a failed list has errors, ends and Retry, and twenty rows and more fit on a screen', async () => {
    const page = await go('tasks?state=failed');
    await page.getByRole('columnheader', { name: 'Error' }).waitFor();
    await page.locator('[data-choice="failed"]').getByText('5,030').waitFor();
    const first = rows(page).first();
    assert.match(await first.innerText(), /failed\s+(invoice\.send|mail\.deliver)[\s\S]*ECONNREFUSED[\s\S]*ago[\s\S]*Retry/);
    assert.equal(await page.getByRole('button', { name: /^Stop/ }).count(), 0);
    const box = await rows(page).nth(20).boundingBox();
    assert.ok(box !== null && box.y + box.height < 900, `the 21st row ends at ${box?.y}`);
    await checkPage(page, 'failed-list');
    await page.close();
  });

  test('select 20, retry: each has a receipt', async () => {
    const page = await go('tasks?state=failed&name=mail*');
    const boxes = rows(page).getByRole('checkbox');
    await boxes.nth(MAILS - 1).waitFor();
    await boxes.first().click();
    await boxes.nth(19).click({ modifiers: ['Shift'] });
    await page.locator('#selection').getByText('20 tasks selected').waitFor();
    await page.screenshot({ path: `${SCREENSHOTS}/selection-1440.png` });
    await page.locator('#title').focus();
    await page.keyboard.press('r');
    const dialog = page.getByRole('dialog', { name: 'Retry 20 tasks?' });
    await dialog.getByText('and 10 more').waitFor();
    assert.equal((await producer.count({ state: 'failed', name: 'mail.deliver' })).count, MAILS);
    await dialog.getByRole('button', { name: 'Retry 20 tasks' }).click();
    await page.locator('#bulk').getByText('Retried 20 tasks: 20 retried.').waitFor();
    assert.equal(await page.locator('#selection').isVisible(), false);
    await page.locator('#bulk').getByText('Receipts').click();
    await page.locator('#bulk li').nth(19).getByText('retried').waitFor();
    await page.getByRole('heading', { name: 'Tasks' }).hover();
    await shows(page, MAILS - 20);
    assert.equal((await producer.count({ state: 'completed', name: 'mail.deliver' })).count, 20);
    await page.close();
  });

  test('search by tag: from the box, and by a click on a tag', async () => {
    const page = await go('tasks?state=all');
    await rows(page).first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('tenant:7');
    await page.waitForURL(/q=tenant%3A7/);
    await shows(page, 3);
    const ids = await rows(page).evaluateAll((all) => all.map((row) => row.getAttribute('data-id') ?? ''));
    assert.deepEqual(new Set(ids), new Set(['mail-17', 'mail-27', 'mail-7']));
    await page.getByRole('button', { name: /begins with tenant:7/ }).click();
    await page.waitForURL((url) => !url.search.includes('q='));
    await page.goto(`${dashboard.url}tasks?state=all&q=mail-1`);
    await page.locator('tr[data-id="mail-12"]').getByRole('button', { name: 'tenant:2' }).click();
    await page.waitForURL(/tag=tenant%3A2/);
    await shows(page, 1);
    await page.goBack();
    await shows(page, 11);
    assert.equal(await page.getByRole('searchbox').inputValue(), 'mail-1');
    await page.close();
  });

  test('retry all that match: 5,000 failed tasks, after a look at the number and the first ten', async () => {
    const page = await go('tasks?state=failed&name=invoice.send');
    await page.locator('[data-choice="failed"]').getByText('5,000').waitFor();
    await page.getByLabel('Select every task of the page').click();
    await page.getByRole('button', { name: 'Select all 5,000 that match' }).click();
    await page.locator('#selection').getByText('All 5,000 tasks that match are selected').waitFor();
    await page.locator('#selection').getByRole('button', { name: 'Retry …' }).click();
    const dialog = page.getByRole('dialog', { name: 'Retry 5,000 tasks?' });
    await dialog.locator('li').nth(9).getByText('invoice.send').waitFor();
    await dialog.getByText('and 4,990 more').waitFor();
    await page.screenshot({ path: `${SCREENSHOTS}/bulk-dialog-1440.png` });
    await dialog.getByRole('button', { name: 'Retry 5,000 tasks' }).click();
    await page.locator('#bulk').getByText('Retrying').waitFor();
    // It goes on without the page, which finds it again.
    await page.reload();
    await page.locator('#bulk').getByText('Retried 5,000 tasks: 5,000 retried.').waitFor();
    assert.equal((await producer.count({ state: 'failed', name: 'invoice.send' })).count, 0);
    await page.getByText('No failed tasks match: name invoice.send.').waitFor();
    await page.getByRole('link', { name: 'Look in all states' }).click();
    await page.waitForURL(/state=all/);
    await page.locator('#bulk').getByRole('button', { name: 'Dismiss' }).click();
    await page.close();
  });

  test('rows do not move under the pointer', async () => {
    const page = await go('tasks?q=idle');
    await page.locator('tr[data-id="idle-1"]').hover();
    await producer.enqueue(idle, { to: 'new@example.com' }, { id: 'idle-new' });
    await page.getByRole('button', { name: 'Show 1 other task' }).waitFor();
    assert.equal(await rows(page).count(), 3);
    // A task that ends stays in its place.
    await producer.stop('idle-2');
    await page.locator('tr[data-id="idle-2"]').getByText('cancelled').waitFor();
    await page.getByRole('heading', { name: 'Tasks' }).hover();
    await page.locator('tr[data-id="idle-new"]').waitFor();
    await page.locator('tr[data-id="idle-2"]').waitFor({ state: 'detached' });
    await page.close();
  });

  test('the keyboard moves, selects, stops and opens', async () => {
    const page = await go('tasks?q=idle');
    await page.locator('tr[data-id="idle-new"]').waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    await page.locator('#selection').getByText('1 task selected').waitFor();
    const chosen = await page.locator('tr:focus-within').getAttribute('data-id');
    await page.keyboard.press('x');
    await page.keyboard.press('s');
    await page.getByRole('dialog', { name: 'Stop this task?' }).getByText(String(chosen)).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('k');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/tasks/idle-*');
    await page.locator('#state').getByText('queued').waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).getByText('Show commands').waitFor();
    await page.close();
  });

  test('no page loads from another origin or logs an error', () => {
    assert.deepEqual(watched.problems, []);
  });
});
