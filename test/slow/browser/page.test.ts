import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Producer } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS, checkPage } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

const HOSTILE_ITEM = '<img src=x onerror="document.title=1">&"';

describe('the pages in a browser', { skip: noChromium }, () => {
  let fleet: TestFleet;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let watched: Watched;
  let producer: Producer;
  let olga: BrowserContext;
  const chat = new ScriptedTask('chat.reply', { queue: 'chat' });
  const slow = new ScriptedTask('document.read', { queue: 'documents' });

  before(async () => {
    browser = await startChromium();
    fleet = await TestFleet.start();
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await mkdir(SCREENSHOTS, { recursive: true });
    await fleet.worker(prefix, [chat.handler, slow.handler], { concurrency: 8 });
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    watched = new Watched(dashboard.origin);
    olga = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' });
  });
  after(async () => {
    await browser?.close();
    await dashboard?.close();
    await fleet?.stop();
  });

  async function signIn(context: BrowserContext, who: 'operator' | 'viewer', path = ''): Promise<Page> {
    const page = await watched.open(context);
    await page.goto(dashboard.url + path);
    await page.getByLabel('Token').fill(dashboard.tokens[who]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    return page;
  }

  async function go(path: string): Promise<Page> {
    const page = await watched.open(olga);
    await page.goto(dashboard.url + path);
    return page;
  }

  test('sign in, watch a chat, stop it, and see its receipt', async () => {
    await producer.enqueue(chat.definition, {}, { id: 'chat-novel', item: 'chat:novel' });
    const { context } = await chat.call(0);
    // A deep link leads through the sign-in to the page.
    const page = await signIn(olga, 'operator', 'tasks/chat-novel');
    await page.waitForURL('**/fleet/tasks/chat-novel');
    context.progress(40);
    context.emit('Call me ');
    context.emit('Ishmael.');
    await page.locator('#output').getByText('Call me Ishmael.').waitFor();
    await page.getByText('40 %').first().waitFor();

    // The stream survives a restart of the dashboard, without repeated chunks.
    await dashboard.restart();
    await page.getByText('reconnecting').waitFor();
    context.emit(' Some years ago');
    await page.locator('#output').getByText('Call me Ishmael. Some years ago', { exact: true }).waitFor();
    await page.getByText('● live').waitFor();

    await page.getByRole('button', { name: 'Stop' }).click();
    const dialog = page.getByRole('dialog', { name: 'Stop this task?' });
    await dialog.getByLabel('Reason').fill('heard enough');
    await page.screenshot({ path: join(SCREENSHOTS, 'stop-1280.png') });
    await dialog.getByRole('button', { name: 'Stop' }).click();
    (await chat.call(0)).throws(await (await chat.call(0)).aborted);
    await page.locator('#state').getByText('cancelled').waitFor();
    await page
      .locator('#receipt')
      .getByText(/cancelled by signal after [\d.]+ ms/)
      .waitFor();
    // The outcome is where the click was.
    await page
      .locator('.bubble')
      .getByText(/Cancelled by signal after [\d.]+ ms/)
      .waitFor();
    for (const fact of ['olga', 'heard enough']) await page.locator('#facts').getByText(fact).waitFor();
    assert.match((await page.locator('#spoken').textContent()) ?? '', /^Cancelled by signal/);
    await checkPage(page, 'task');

    // The retried task finishes before the page follows it again: the page must not mistake the earlier end for this one.
    await page.route('**/tasks/*/events*', async (route) => {
      (await chat.call(1)).returns('told');
      await until(
        () => producer.get('chat-novel'),
        (task) => task?.state === 'completed',
      );
      await route.continue();
    });
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.locator('#result').getByText('told').waitFor();
    await page.locator('#state').getByText('completed').waitFor();
    await page.close();
  });

  test('the list updates live, keeps its rows, filters by an item and stops a task', async () => {
    const page = await go('tasks');
    await page.getByText('● live').waitFor();
    const [first, ...rest] = Array.from({ length: 20 }, (_, index) => `page-${String(index).padStart(2, '0')}`);
    await producer.enqueue(slow.definition, {}, { id: first, item: 'doc:7' });
    await producer.enqueue(chat.definition, {}, { id: 'hostile', item: HOSTILE_ITEM });
    const row = page.locator('tr[data-id="page-00"]');
    await row.getByText('running').waitFor();
    await page.locator('tr[data-id="hostile"]').getByText(HOSTILE_ITEM).waitFor();
    await row.evaluate((element) => element.classList.add('the-same'));
    slow.calls.find(({ context }) => context.id === 'page-00')?.context.progress({ done: 3, total: 8 });
    await row.getByText('3 of 8').waitFor();
    await checkPage(page, 'tasks');
    await Promise.all(rest.map((id) => producer.enqueue(slow.definition, {}, { id, item: 'doc:7' })));
    await page.locator('tr[data-id="page-19"]').waitFor();
    assert.ok(await row.evaluate((element) => element.classList.contains('the-same')), 'the row was recreated');

    await row.getByRole('button', { name: 'doc:7' }).click();
    await page.waitForURL(/item=doc/);
    await page.locator('tr[data-id="hostile"]').waitFor({ state: 'detached' });
    assert.equal(await page.locator('#rows tbody tr').count(), 20);
    await row.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('dialog', { name: 'Stop this task?' }).getByRole('button', { name: 'Stop' }).click();
    const call = slow.calls.find(({ context }) => context.id === 'page-00');
    void call?.aborted.then((cause) => call.throws(cause));
    await page
      .locator('.bubble')
      .getByText(/Cancelled by signal after/)
      .waitFor();
    await row.getByText('cancelled').waitFor();
    // It stays while the pointer is on the rows, and leaves then.
    await page.getByRole('heading', { name: 'Tasks' }).hover();
    await row.waitFor({ state: 'detached' });
    for (const each of slow.calls) void each.aborted.then((cause) => each.throws(cause));
    await producer.stopItem('doc:7', { waitMs: 60_000 });
    await page.close();
  });

  test('a task is opened by id with the keyboard', async () => {
    const page = await go('tasks');
    await page.locator('tr[data-id="hostile"]').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('nobody');
    await page.keyboard.press('Enter');
    await page.getByText('No live tasks match: begins with nobody.').waitFor();
    await page.getByRole('searchbox').fill('hostile');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/tasks/hostile');
    await page.locator('#facts').getByText(HOSTILE_ITEM).waitFor();
    await page.close();
  });

  test('Run now enqueues a schedule and links its task', async () => {
    const page = await go('schedules');
    const row = page.locator('tr[data-id="registry.reconcile"]');
    await row.getByRole('button', { name: 'Run now' }).click();
    await page.locator('.bubble').getByText('Enqueued registry.reconcile as task').waitFor();
    await checkPage(page, 'schedules');
    await page.close();
  });

  test('the Workers page shows data', async () => {
    const workers = await go('workers');
    await workers.getByText('● up').waitFor();
    await workers.getByText('1 worker alive').waitFor();
    await checkPage(workers, 'workers');
    await workers.close();
  });

  test('a viewer has no Stop button, and the API refuses a stop', async (t) => {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await signIn(context, 'viewer', 'tasks');
    await page.locator('tr[data-id="hostile"]').waitFor();
    await page.getByText('vera · viewer').waitFor();
    assert.equal(await page.getByRole('button', { name: /stop/i }).count(), 0);
    await page.goto(`${dashboard.url}tasks/hostile`);
    await page.locator('#state').getByText('running').waitFor();
    assert.equal(await page.getByRole('button', { name: /stop|retry/i }).count(), 0);
    const csrf = (await context.cookies()).find(({ name }) => name === 'XSRF-TOKEN')?.value ?? '';
    const answer = await context.request.post(`${dashboard.url}api/v1/tasks/hostile/stop`, { data: {}, headers: { 'X-CSRF-Token': csrf } });
    assert.equal(answer.status(), 403);
    assert.equal((await producer.get('hostile'))?.state, 'running');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL('**/sign-in');
  });

  test('from Bull Board to a stopped task', async () => {
    const board = await go('board/queue/documents?status=active');
    await producer.enqueue(slow.definition, {}, { id: 'on-the-board', item: 'doc:8' });
    const page = await Promise.all([
      olga.waitForEvent('page'),
      board.getByRole('link', { name: 'Stop on the task page' }).first().click(),
    ]).then(([opened]) => opened);
    await page.waitForURL('**/fleet/tasks/on-the-board');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('dialog', { name: 'Stop this task?' }).getByRole('button', { name: 'Stop' }).click();
    const call = await until(
      () => slow.calls.find(({ context }) => context.id === 'on-the-board'),
      (one) => one !== undefined,
    );
    void call?.aborted.then((cause) => call.throws(cause));
    await page.locator('#state').getByText('cancelled').waitFor();
    await page.close();
    await board.goto(`${dashboard.url}board/queue/documents?status=latest`);
    await board.getByText('■ cancelled').first().waitFor();
    await board.screenshot({ path: join(SCREENSHOTS, 'board-1280.png') });
    await board.close();
  });

  test('no page loads from another origin or logs an error', () => {
    // The browser logs the 404 of the search for a missing task.
    assert.deepEqual(
      watched.problems.filter((problem) => !problem.includes('tasks/nobody')),
      [],
    );
  });
});
