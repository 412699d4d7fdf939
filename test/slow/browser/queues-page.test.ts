import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';
import { openAs } from './gallery/open-as.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS, checkPage } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

const chat = defineTask({ name: 'chat.reply', queue: 'chat', input: z.object({}), shards: 2, retention: KEEP });
const HOSTILE = '<img src=x onerror="document.title=1">';

describe('the page Queues, in a browser', { skip: noChromium }, () => {
  let fleet: TestFleet;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let producer: Producer;
  let olga: BrowserContext;
  let watched: Watched;

  before(async () => {
    browser = await startChromium();
    fleet = await TestFleet.onOneServer();
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await mkdir(SCREENSHOTS, { recursive: true });
    await producer.enqueueMany(
      chat,
      ['reply-1', 'reply-2', 'reply-3', 'reply-4'].map((id) => ({ id, input: {} })),
    );
    await producer.enqueue(defineTask({ name: 'mail.send', input: z.object({}), retention: KEEP }), {});
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    watched = new Watched(dashboard.origin);
    ({ context: olga } = await openAs(browser, dashboard, 'operator'));
  });
  after(async () => {
    await browser?.close();
    await dashboard?.close();
    await fleet?.stop();
  });

  async function go(path: string, context = olga): Promise<Page> {
    const page = await watched.open(context);
    await page.goto(dashboard.url + path);
    return page;
  }

  const pauseOf = async () => (await producer.queues.list()).find(({ name }) => name === 'chat')?.paused ?? null;

  test('an operator pauses a queue with a reason, sees it on its tasks, and resumes it', async () => {
    const page = await go('queues');
    const row = page.locator('tr[data-id="chat"]');
    await row.getByRole('button', { name: 'Pause chat' }).click();
    const dialog = page.getByRole('dialog', { name: 'Pause the queue chat?' });
    await dialog.getByLabel('Reason').fill(HOSTILE);
    await checkPage(page, 'queue-dialog');
    await dialog.getByRole('button', { name: 'Pause' }).click();
    await row.getByText('‖ paused').waitFor();
    await row.getByText(HOSTILE).waitFor();
    await page.getByText('2 queues, 1 paused').waitFor();
    const { by, reason, shards } = (await pauseOf()) ?? {};
    assert.deepEqual([by, reason, shards], ['olga', HOSTILE, ['chat', 'chat.shard-1']]);
    await checkPage(page, 'queues');
    await row.getByRole('link', { name: '4', exact: true }).click();
    await page.waitForURL(/\/tasks\?queue=chat&state=queued$/);
    await page.locator('tr[data-id="reply-4"]').getByText('queue chat is paused by olga').waitFor();
    await page.goBack();
    await row.getByRole('button', { name: 'Resume chat' }).click();
    await row.getByText('runs').waitFor();
    await page.locator('tr[data-id="chat"] button:focus').getByText('Pause').waitFor();
    assert.equal(await until(pauseOf, (pause) => pause === null), null);
    await page.close();
    assert.deepEqual(watched.problems, []);
  });

  test('a pause elsewhere appears by itself, and a viewer has no buttons', async () => {
    const { context } = await openAs(browser, dashboard, 'viewer');
    const page = await go('queues', context);
    const row = page.locator('tr[data-id="chat"]');
    await row.getByText('runs').waitFor();
    assert.equal(await row.getByRole('button').count(), 0);
    await producer.store.queues.get('chat.shard-1').pause();
    await row.getByText('‖ 1 of 2 paused').waitFor();
    await row.getByText('by another client').waitFor();
    await context.close();
    assert.deepEqual(watched.problems, []);
  });
});
