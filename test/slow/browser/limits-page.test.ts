import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { lineUp, placeStep } from '../../support/task/line.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS, checkPage } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

const chat = defineTask({ name: 'chat.reply', input: z.object({}), retention: KEEP });
const HOSTILE_KEY = '<img src=x onerror="document.title=1">';

describe('tasks in line, in a browser', { skip: noChromium }, () => {
  let fleet: TestFleet;
  let dashboard: BuiltDashboard;
  let browser: Browser;
  let watched: Watched;
  let producer: Producer;
  let olga: BrowserContext;

  before(async () => {
    browser = await startChromium();
    fleet = await TestFleet.onOneServer();
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await producer.ping();
    await mkdir(SCREENSHOTS, { recursive: true });
    const { limiter, redis, keys } = producer.store;
    await limiter.publish([
      placeStep('chat.reply', 'k'),
      placeStep('chat.reply', '', 100),
      { limit: 'rate:task:chat.reply#0', max: [90_000, 60_000, 9_000], keyed: false },
      { limit: 'group:gpu#0', max: 4, keyed: false },
    ]);
    for (const id of ['reply-1', 'reply-2', 'reply-3', 'reply-4'])
      await lineUp(producer, chat, { id, item: 'chat:onboarding', steps: [placeStep('chat.reply', 'chat:onboarding')] });
    for (const id of ['odd-1', 'odd-2']) await lineUp(producer, chat, { id, steps: [placeStep('chat.reply', HOSTILE_KEY)] });
    await producer.limits.set('group:gpu', 0);
    await redis.hset(keys.limiter('defined'), 'task:broken#0', 'nonsense');
    dashboard = await serveBuilt(fleet.redis.url, prefix);
    watched = new Watched(dashboard.origin);
    olga = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' });
    const page = await watched.open(olga);
    await page.goto(`${dashboard.url}tasks`);
    await page.getByLabel('Token').fill(dashboard.tokens.operator);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('tr[data-id="reply-4"]').waitFor();
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

  test('the list says what queued tasks wait for', async () => {
    const page = await go('tasks');
    await page.locator('tr[data-id="reply-4"]').getByText('third in line for chat:onboarding').waitFor();
    await page.locator('tr[data-id="odd-2"]').getByText(`first in line for ${HOSTILE_KEY}`).waitFor();
    await checkPage(page, 'tasks-in-line');
    await page.close();
  });

  test('a task says whom it is behind, and moves up', async () => {
    const page = await go('tasks/reply-4');
    const facts = page.locator('#facts');
    await facts.getByText('third in line for chat:onboarding, behind reply-1 (limit 1, 3 in line)').waitFor();
    assert.match((await facts.getByRole('link', { name: 'reply-1' }).getAttribute('href')) ?? '', /\/tasks\/reply-1$/);
    await checkPage(page, 'task-in-line');
    await producer.limits.set('chat.reply', 'chat:onboarding', 2);
    await facts.getByText('second in line for chat:onboarding, behind reply-1, reply-2 (limit 2, 2 in line)').waitFor();
    await page.close();
  });

  test('the Limits page shows lines first, what was set, and an unreadable limit', async () => {
    const page = await go('limits');
    await page.getByText('2 keys with tasks in line').waitFor();
    const first = page.locator('tbody tr').first();
    await first.getByText('chat:onboarding').waitFor();
    await first.getByText('2 (set at run time)').waitFor();
    await page.getByText('90,000 per 1 min, burst 9,000').waitFor();
    await page.getByText('0 (set at run time)').waitFor();
    await page.getByText(/unreadable: expected a number/).waitFor();
    await checkPage(page, 'limits');
    await page.getByLabel('Name').fill('group:gpu');
    await page.getByLabel('Name').press('Enter');
    await page.getByText('no task in line').waitFor();
    assert.equal(await page.locator('tbody tr').count(), 1);
    assert.match(page.url(), /\?name=group%3Agpu$/);
    await page.close();
    assert.deepEqual(watched.problems, []);
  });
});
