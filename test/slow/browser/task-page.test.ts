import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { z } from 'zod';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { type FleetWorker, defineTask } from '../../../worker/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { builtUrl } from '../../support/process/built.js';
import { KEEP } from '../../support/task/keep.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS, checkPage } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

/** Compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');

/** A task that fails three times with three errors, the last one in a thread; others that write a log and wait for a retry. */
const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const define = (name) => defineTask({ name, input: z.any(), retention: ${JSON.stringify(KEEP)} });
let calls = 0;
class QuotaExceeded extends Error {
  name = 'QuotaExceeded';
  code = 'E_QUOTA';
}
const render = ({ attempt, log }) => {
  log.info({ pages: 512 }, 'Rendering');
  if (attempt === 1) throw new TypeError("Cannot read properties of undefined (reading 'rows')");
  if (attempt === 3) throw new QuotaExceeded('Rendering needs 512 pages, 100 are left');
  const members = [new Error('node-1: refused'), Object.assign(new Error('node-2: late'), { code: 'ETIMEDOUT' })];
  throw new AggregateError(members, 'All replicas failed', { cause: new RangeError('quorum 1 of 3') });
};
export default [
  defineHandler(define('report.render'), render, { isolate: () => ++calls === 3 }),
  defineHandler(define('report.later'), () => { throw new Error('come back later'); }),
  defineHandler(define('report.speaks'), async ({ log, signal }) => {
    for (let line = 1; line <= 1_200; line += 1) log.info('line ' + line);
    log.error({ error: new Error('half of it') }, 'Something failed');
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  }),
  defineHandler(define('report.fine'), () => 'fine'),
];
`;
const task = (name: string, delayMs = 20) =>
  defineTask({ name, input: z.any(), retention: KEEP, retry: { attempts: 3, backoff: { type: 'fixed', delayMs, jitter: 0 } } });

describe('the page of a task in a browser', { skip: noChromium }, () => {
  let folder: string;
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let worker: FleetWorker;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let watched: Watched;
  let olga: BrowserContext;

  before(async () => {
    [browser, fleet, folder] = await Promise.all([startChromium(), TestFleet.start(), mkdtemp(join(tmpdir(), 'taskfleet-page-'))]);
    await mkdir(SCREENSHOTS, { recursive: true });
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    const { createWorker } = (await import(COMPILED)) as typeof import('../../../worker/index.js');
    const settings = { redisUrl: fleet.redis.url, keyPrefix: prefix, cwd: folder, taskModules: ['tasks.mjs'], threads: 1 };
    worker = await createWorker({ ...settings, pid: 4_711, shutdownTimeoutMs: 0, loggers: new LogLines().loggers });
    await worker.start();
    await worker.ready();
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    watched = new Watched(dashboard.origin);
    olga = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' });
    const page = await signIn(olga, 'operator');
    await page.close();
  });
  after(async () => {
    await browser?.close();
    await dashboard?.close();
    await worker?.stop();
    await fleet?.stop();
    await rm(folder, { recursive: true });
  });

  async function signIn(context: BrowserContext, who: 'operator' | 'viewer'): Promise<Page> {
    const page = await watched.open(context);
    await page.goto(dashboard.url);
    await page.getByLabel('Token').fill(dashboard.tokens[who]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(who, { exact: false }).first().waitFor();
    return page;
  }

  async function go(path: string): Promise<Page> {
    const page = await watched.open(olga);
    await page.goto(dashboard.url + path);
    return page;
  }

  test('three failed attempts are shown with their errors, causes and stacks', async () => {
    await producer.enqueue(task('report.render'), {}, { id: 'report-q3', item: 'team:finance' });
    const page = await go('tasks/report-q3');
    await page.locator('#state').getByText('failed').waitFor();
    const error = 'QuotaExceeded [E_QUOTA]: Rendering needs 512 pages, 100 are left';
    await page.locator('#error').getByText(error).waitFor();
    const attempts = page.locator('#attempts > li');
    const texts = await attempts.allTextContents();
    assert.equal(texts.length, 4);
    const [last, second, first, enqueued] = texts as [string, string, string, string];
    assert.match(enqueued, /^Enqueued.*waited/);
    assert.match(last, /^Attempt 3 of 3failed.*pid 4711/);
    assert.ok(last.includes(error), last);
    assert.match(second, /^Attempt 2 of 3failed.*retry after 20 ms/);
    for (const part of [
      'AggregateError: All replicas failed',
      'error 1 of 2: Error: node-1: refused',
      'error 2 of 2: Error [ETIMEDOUT]: node-2: late',
    ])
      assert.ok(second.includes(part), second);
    assert.ok(second.includes('caused by RangeError: quorum 1 of 3'), second);
    assert.ok(first.includes("TypeError: Cannot read properties of undefined (reading 'rows')"), first);
    assert.equal(await page.getByText('tasks.mjs').first().isVisible(), false);
    await attempts.first().getByText('Stack').first().click();
    await attempts.first().getByText('tasks.mjs').first().waitFor();
    await checkPage(page, 'attempts');

    await page.getByRole('tab', { name: 'History' }).click();
    await page
      .locator('#events')
      .getByText(/running, attempt 3/)
      .waitFor();
    await page
      .locator('#events')
      .getByText(/retrying after attempt 1: TypeError/)
      .waitFor();
    const history = await page.locator('#events > li').allTextContents();
    assert.ok(
      history.every((line) => !line.includes('1970') && /\d/.test(line)),
      history.join('\n'),
    );
    await page.close();

    const list = await go('tasks?state=failed');
    const row = list.locator('tr[data-id="report-q3"]');
    await row.getByText('Rendering needs 512 pages, 100 are left').waitFor();
    await row.getByText(/\d+ s ago/).waitFor();
    await checkPage(list, 'failed-tasks');
    await list.close();
  });

  test('a viewer sees the errors and their causes, and no stack', async (t) => {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await signIn(context, 'viewer');
    await page.goto(`${dashboard.url}tasks/report-q3`);
    await page.locator('#attempts').getByText('caused by RangeError: quorum 1 of 3').waitFor();
    assert.equal(await page.locator('#attempts summary').count(), 0);
    assert.ok(!(await page.content()).includes('tasks.mjs'));
  });

  test('a task between two attempts says when it is retried', async () => {
    await producer.enqueue(task('report.later', 300_000), {}, { id: 'later' });
    const page = await go('tasks/later');
    await page
      .locator('#due')
      .getByText(/retries in [45] min/)
      .waitFor();
    await page.locator('#facts').getByText('Next attempt').waitFor();
    await page.locator('#error').getByText('Error: come back later').waitFor();
    await page.close();
    const list = await go('tasks');
    await list
      .locator('tr[data-id="later"]')
      .getByText(/^in [45] min/)
      .waitFor();
    await list.locator('tr[data-id="later"]').getByText('come back later').waitFor();
    await list.close();
  });

  test('the log of a running task is followed, filtered by level, and says how many lines were dropped', async () => {
    await producer.enqueue(task('report.speaks'), {}, { id: 'speaks' });
    const page = await go('tasks/speaks#logs');
    const log = page.locator('#log');
    await log.getByText('Something failed Error: half of it').waitFor();
    await page.locator('#log-note').getByText('live · 201 older lines were dropped').waitFor();
    await page.waitForFunction('document.getElementById("log").scrollTop > 0');
    await page.getByLabel('Level').selectOption('error');
    assert.equal(await log.locator('li:visible').count(), 1);
    assert.equal(await log.getByText('tasks.mjs').first().isVisible(), false);
    await log.getByText('Stack').click();
    await log.getByText('tasks.mjs').first().waitFor();
    await checkPage(page, 'log');
    await page.getByRole('tab', { name: 'Attempts' }).click();
    await page.locator('#attempts').getByText('running').waitFor();
    for (const panel of ['input', 'result', 'output', 'logs']) {
      await page.keyboard.press('ArrowRight');
      await page.locator(`#${panel}-panel`).waitFor();
    }
    await producer.stop('speaks');
    await page.locator('#state').getByText('cancelled').waitFor();
    await page
      .locator('#log-note')
      .getByText(/^201 older/)
      .waitFor();
    await page.close();
  });

  test('the input is shown, and the task runs again with another one', async () => {
    const options = { id: 'canary', item: "team:o'hara", tags: ['tenant:7'] };
    await producer.result(await producer.enqueue(fleetCanary, { run_ms: 5 }, options));
    const page = await go('tasks/canary');
    await page.getByRole('heading', { name: 'fleet.canary' }).waitFor();
    await page.getByRole('tab', { name: 'Input' }).click();
    await page.locator('#input').getByText('run_ms: 5').waitFor();
    await checkPage(page, 'input');

    await page.getByRole('button', { name: 'Commands' }).click();
    const commands = page.getByRole('dialog', { name: 'Commands' });
    const cli = `npx taskfleet task enqueue fleet.canary --input '{"run_ms":5}' --item 'team:o'\\''hara' --tag tenant:7 --api`;
    await commands.getByText(cli).waitFor();
    await page.screenshot({ path: join(SCREENSHOTS, 'commands-1280.png') });
    await commands.getByRole('button', { name: 'Close' }).click();

    await page.getByRole('button', { name: 'Run again …' }).click();
    const dialog = page.getByRole('dialog', { name: 'Run again with another input' });
    await dialog.getByText('tenant:7').waitFor();
    const field = dialog.getByLabel('Input, as JSON');
    await field.fill('{"run_ms": ');
    await dialog.getByRole('button', { name: 'Enqueue' }).click();
    await dialog.getByText('The input is not JSON').waitFor();
    // The API checks it against the schema.
    await field.fill('{"run_ms": "long"}');
    await dialog.getByRole('button', { name: 'Enqueue' }).click();
    await dialog
      .getByText(/run_ms/)
      .nth(0)
      .waitFor();
    await field.fill('{"run_ms": 7}');
    await dialog.getByRole('button', { name: 'Enqueue' }).click();
    await page.locator('.bubble').getByRole('link').click();
    await page.waitForURL((url) => /tasks\/[0-9a-f-]{36}$/.test(url.pathname));
    await page.locator('#state').getByText('completed').waitFor();
    for (const fact of [options.item, 'tenant:7']) await page.locator('#facts').getByText(fact).waitFor();
    await page.getByRole('tab', { name: 'Input' }).click();
    await page.locator('#input').getByText('run_ms: 7').waitFor();
    await page.close();
  });

  test('the children of a task are listed, and lead back to it', async () => {
    const parent = `${prefix}:bull:report:report-q3`;
    await fleet.client.hset(parent, 'kid_ids', 'child gone');
    await producer.result(await producer.enqueue(task('report.fine'), {}, { id: 'child' }));
    const opts = JSON.parse((await fleet.client.hget(`${prefix}:bull:report:child`, 'opts')) as string) as object;
    const childOf = { queue: 'report', id: 'report-q3' };
    await fleet.client.hset(`${prefix}:bull:report:child`, 'opts', JSON.stringify({ ...opts, childOf }));
    const page = await go('tasks/report-q3#children');
    await page.getByRole('tab', { name: 'Children 1' }).waitFor();
    await page.locator('#children').getByRole('link', { name: 'child' }).click();
    await page.waitForURL('**/tasks/child');
    await page.locator('#parent').getByRole('link', { name: 'report-q3' }).click();
    await page.waitForURL('**/tasks/report-q3');
    await page.close();
  });

  test('a skipped task links the task that it overlapped', async () => {
    await producer.result(await producer.enqueue(task('report.fine'), {}, { id: 'skipped' }));
    await fleet.client.hset(`${prefix}:bull:report:skipped`, 'skipped', 'the-other');
    const page = await go('tasks/skipped');
    await page.locator('#state').getByText('skipped').waitFor();
    const link = page.locator('#facts').getByRole('link', { name: 'the-other' });
    assert.equal(await link.getAttribute('href'), `${dashboard.url}tasks/the-other`);
    await page.close();
  });

  test('no page loads from another origin or logs an error', () => {
    // The browser logs the refusal of the bad input.
    const unexpected = watched.problems.filter((problem) => !/ 400 .*\/api\/v1\/tasks\)$/.test(problem));
    assert.deepEqual(unexpected, []);
  });
});
