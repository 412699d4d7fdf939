import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import type { FleetWorker } from '../../../worker/worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS, checkPage } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

const HOSTILE_REASON = '<img src=x onerror="document.title=1">';

describe('the Workers page in a browser', { skip: noChromium }, () => {
  const chat = new ScriptedTask('chat.reply', { queue: 'chat' });
  const other = defineHandler(defineTask({ name: 'report.make', input: z.object({}), timeoutMs: 5_000 }), () => null);
  const changed = defineHandler(defineTask({ name: 'report.make', input: z.object({}), timeoutMs: 9_000 }), () => null);
  let fleet: TestFleet;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let watched: Watched;
  let producer: Producer;
  let olga: BrowserContext;
  let first: FleetWorker;
  let prefix: string;

  before(async () => {
    browser = await startChromium();
    fleet = await TestFleet.onOneServer();
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await mkdir(SCREENSHOTS, { recursive: true });
    first = await fleet.worker(prefix, [chat.handler, other], { concurrency: 2, pid: 101, host: process });
    await fleet.worker(prefix, [changed], { pid: 102, host: process, workerQueues: ['report', 'maintenance'] });
    const broken = await fleet.worker(prefix, [], { pid: 103, host: process });
    await broken.stop({ failed: true });
    const { keys, redis } = producer.store;
    await redis.hset(keys.lastWorker(broken.id), {
      line: 'Uncaught exception; shutting down: boom',
      line_level: 'fatal',
      running: '["task-of-the-dead"]',
    });
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    watched = new Watched(dashboard.origin);
    olga = await browser.newContext({ viewport: { width: 1_440, height: 900 }, reducedMotion: 'reduce' });
  });
  after(async () => {
    await browser?.close();
    await dashboard?.close();
    await fleet?.stop();
  });

  async function signIn(context: BrowserContext, who: 'operator' | 'viewer'): Promise<Page> {
    const page = await watched.open(context);
    await page.goto(`${dashboard.url}workers`);
    await page.getByLabel('Token').fill(dashboard.tokens[who]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    return page;
  }

  test('a worker is drained while it runs tasks: they end, nothing new starts, resume works', async () => {
    const [one, two] = await producer.enqueueMany(chat.definition, [{ input: 1 }, { input: 2 }]);
    const calls = [await chat.call(0), await chat.call(1)];
    const page = await signIn(olga, 'operator');
    const row = page.locator(`tr[data-id="${first.id}"]`);
    await row.getByText('● up').waitFor();
    await page.getByText('2 workers alive').waitFor();
    // By its next heartbeat.
    await row.locator('td[data-label="Busy"]').getByText('2 /').waitFor();
    await row.getByRole('button', { name: 'Drain' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('It ends its 2 running tasks').waitFor();
    await dialog.getByText('No other worker takes: chat, documents, fleet.').waitFor();
    await dialog.getByLabel('Reason').fill(HOSTILE_REASON);
    await checkPage(page, 'workers-drain');
    await dialog.getByRole('button', { name: 'Drain' }).click();
    await row.getByText('◐ draining').waitFor();
    await row.getByText(`by olga: ${HOSTILE_REASON}`).waitFor();
    await until(
      () => first.status().fetching,
      (fetching) => !fetching,
    );
    const { id: waiting } = await producer.enqueue(chat.definition, 3);
    for (const call of calls) call.returns('done');
    assert.deepEqual(await Promise.all([one, two].map((task) => producer.result(task?.id as string))), ['done', 'done']);
    await row.getByText('‖ drained').waitFor();
    await page.getByText('2 workers alive, 1 drained').waitFor();
    assert.equal((await producer.get(waiting))?.state, 'queued');
    await page.getByRole('button', { name: 'Dismiss' }).click();
    await checkPage(page, 'workers');
    await row.getByRole('button', { name: 'Resume' }).click();
    await page.getByRole('group', { name: 'Outcome' }).getByText('Resumed: it fetches tasks again.').waitFor();
    (await chat.call(2)).returns('more');
    assert.equal(await producer.result(waiting), 'more');
    await row.getByText('● up').waitFor();
    await page.close();
  });

  test('definitions that differ, and dead workers with their last words, are shown', async () => {
    const page = await watched.open(olga);
    await page.goto(`${dashboard.url}workers`);
    const differing = page.locator('tr[data-id="report.make"]');
    await differing.getByText('timeoutMs').waitFor();
    await differing.getByText(first.id).waitFor();
    await page.locator(`tr[data-id="${first.id}"]`).getByText('differs: report.make').waitFor();
    const dead = page.locator('#dead tbody tr');
    await dead.getByText('Uncaught exception; shutting down: boom').waitFor();
    assert.equal(await dead.getByRole('link').getAttribute('title'), 'task-of-the-dead');
    // Keys: the first row, then the drain of its worker.
    await page.keyboard.press('j');
    await page.keyboard.press('d');
    await page.getByRole('dialog').getByText('Drain worker').waitFor();
    await page.keyboard.press('Escape');
    await page.close();
  });

  test('a viewer sees no buttons', async () => {
    const context = await browser.newContext();
    const page = await signIn(context, 'viewer');
    await page.locator(`tr[data-id="${first.id}"]`).getByText('● up').waitFor();
    assert.equal(await page.locator('#live button').count(), 0);
    await context.close();
    assert.deepEqual(watched.problems, []);
  });
});
