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
import { SCREENSHOTS } from './support/check-page.js';
import { PAGE_LIMIT_MS, noChromium, startChromium } from './support/chromium.js';

const PAGES = ['', 'tasks', 'tasks/running', 'tasks/ended', 'queues', 'workers', 'schedules', 'limits', 'audit'] as const;
const LIVE = '#link[data-state="live"]';
const STALE = '#link[data-state="stale"]';

describe('the pages over a Redis that is away', { skip: noChromium }, () => {
  let fleet: TestFleet;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let producer: Producer;
  let ada: BrowserContext;
  const pages = new Map<string, Page>();
  const report = new ScriptedTask('report.render', { queue: 'reports' });

  before(async () => {
    browser = await startChromium();
    // Sessions and tasks survive the kill.
    fleet = await TestFleet.onOneServer({ appendonly: 'yes', config: ['appendfsync always'] });
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await fleet.worker(prefix, [report.handler], { concurrency: 4 });
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    await mkdir(SCREENSHOTS, { recursive: true });
    await producer.enqueue(report.definition, {}, { id: 'ended' });
    (await report.call(0)).returns('done');
    await producer.waitUntilFinished('ended');
    await producer.enqueue(report.definition, {}, { id: 'running' });
    (await report.call(1)).context.progress(40);
    ada = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' });
    ada.setDefaultTimeout(PAGE_LIMIT_MS);
    const first = await ada.newPage();
    await first.goto(dashboard.url);
    await first.getByLabel('Token').fill(dashboard.tokens.admin);
    await first.getByRole('button', { name: 'Sign in' }).click();
    await first.waitForURL(dashboard.url);
    for (const path of PAGES) {
      const page = await ada.newPage();
      await page.goto(dashboard.url + path);
      pages.set(path, page);
    }
    await first.close();
  });
  after(async () => {
    for (const call of report.calls) call.returns();
    await browser?.close();
    await dashboard?.close();
    await fleet?.stop();
  });

  /** Waits for each page in turn, in front: a page in the background asks less often. */
  async function eachPage(check: (page: Page, path: string) => Promise<unknown>): Promise<void> {
    for (const [path, page] of pages) {
      await page.bringToFront();
      await check(page, path).catch((error: unknown) => {
        throw new Error(`/${path}: ${String(error)}`, { cause: error });
      });
    }
  }

  const isLive = (page: Page): Promise<void> => page.locator(LIVE).waitFor();

  async function isStale(page: Page, path: string): Promise<void> {
    await page
      .locator(STALE)
      .getByText(/stale since \d\d:\d\d/)
      .waitFor();
    await page.locator('#stale').getByText('Actions are off').waitFor();
    const active = await page.locator('[data-writes]:visible:not([aria-disabled="true"]):enabled').count();
    assert.equal(active, 0, `/${path} has actions`);
  }

  /** Waits until the page of the running task shows its progress. A long outage costs an attempt: the latest one reports. */
  async function sees(percent: number): Promise<void> {
    const page = pages.get('tasks/running') as Page;
    await page.bringToFront();
    await until(
      () => {
        report.calls.findLast(({ context }) => context.id === 'running')?.context.progress(percent);
        return page.locator('main').innerText();
      },
      (text) => text.includes(`${percent} %`),
    );
  }

  test('each page says so when Redis is killed, and shows what happened meanwhile once it is back', async () => {
    await eachPage(isLive);
    await fleet.redis.kill();
    await eachPage(isStale);
    await (pages.get('tasks') as Page).screenshot({ path: join(SCREENSHOTS, 'tasks-stale-1280.png') });

    const schedules = pages.get('schedules') as Page;
    await schedules.bringToFront();
    let writes = 0;
    schedules.on('request', (request) => (writes += request.method() === 'POST' ? 1 : 0));
    await schedules.getByRole('button', { name: 'Run now' }).first().click({ force: true });
    await schedules.locator('#spoken').getByText('Not possible').waitFor({ state: 'attached' });
    assert.equal(writes, 0, 'an action went out from a stale page');

    // A page that is opened now waits for Redis, and goes on to what was asked for.
    const late = await ada.newPage();
    const answer = await late.goto(`${dashboard.url}tasks/running`);
    assert.equal(answer?.status(), 503);
    await late.getByRole('heading', { name: 'The fleet is unavailable' }).waitFor();
    await late.screenshot({ path: join(SCREENSHOTS, 'unavailable-1280.png') });

    await fleet.redis.restart();
    await producer.enqueue(report.definition, {}, { id: 'meanwhile' });
    await late
      .locator('#state')
      .getByText(/running|retrying|queued/)
      .waitFor();
    await late.close();
    await eachPage(isLive);
    await (pages.get('tasks') as Page).locator('tr[data-id="meanwhile"]').waitFor();
    await sees(70);
    await eachPage(async (page) => assert.equal(await page.locator('[data-writes][aria-disabled]').count(), 0));
  });

  test('each page says so when Redis hangs, and is live again once it goes on', async () => {
    process.kill(fleet.redis.pid, 'SIGSTOP');
    await eachPage(isStale);
    process.kill(fleet.redis.pid, 'SIGCONT');
    await eachPage(isLive);
    await sees(90);
  });

  test('a page says so when the dashboard itself is gone', async () => {
    const page = pages.get('tasks') as Page;
    await page.bringToFront();
    await ada.setOffline(true);
    await isStale(page, 'tasks');
    await ada.setOffline(false);
    await isLive(page);
  });
});
