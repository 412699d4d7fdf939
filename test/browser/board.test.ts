import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Producer } from '../../producer/index.js';
import { createKeys } from '../../shared/keys.js';
import { ScriptedTask } from '../support/scripted-task.js';
import { TestFleet } from '../support/test-fleet.js';
import { until } from '../support/until.js';
import { type BuiltDashboard, serveBuilt } from './built-dashboard.js';
import { Watched, noChromium, startChromium } from './chromium.js';

/** For people to look at: no test reads them. */
const SCREENSHOTS = join(tmpdir(), 'taskfleet-pages');

for (const [name, path] of [
  ['root', '/'],
  ['ops-fleet', '/ops/fleet'],
] as const)
  describe(`the board of a dashboard at ${path}`, { skip: noChromium }, () => {
    let fleet: TestFleet;
    let browser: Browser;
    let dashboard: BuiltDashboard;
    let producer: Producer;
    let watched: Watched;
    let metaKey: string;
    const note = new ScriptedTask('note.take', { queue: 'notes' });

    before(async () => {
      [browser, fleet] = await Promise.all([startChromium(), TestFleet.start(), mkdir(SCREENSHOTS, { recursive: true })]);
      const keyPrefix = fleet.newPrefix();
      metaKey = `${createKeys(keyPrefix).jobs('notes')}meta`;
      producer = fleet.producer({ keyPrefix });
      await fleet.worker(keyPrefix, [note.handler]);
      dashboard = await serveBuilt(fleet.redis.url, keyPrefix, path);
      watched = new Watched(dashboard.origin);
      await producer.enqueue(note.definition, {}, { id: 'stopped', delay: 3_600_000 });
      await producer.stop('stopped');
      await producer.enqueue(note.definition, {}, { id: 'broken' });
      (await note.call(0)).throws(new Error('no such note'));
      await producer.waitUntilFinished('broken');
    });
    after(async () => {
      await browser?.close();
      await dashboard?.close();
      await fleet?.stop();
    });

    async function open(who: 'operator' | 'viewer', page: string): Promise<[Page, BrowserContext]> {
      const context = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' });
      const opened = await watched.open(context);
      await opened.goto(dashboard.url + page);
      await opened.getByLabel('Token').fill(dashboard.tokens[who]);
      await opened.getByRole('button', { name: 'Sign in' }).click();
      return [opened, context];
    }

    test('a viewer sees failed jobs, has no button for a write, and gets 403', async () => {
      const [page, context] = await open('viewer', 'board/queue/notes?status=failed');
      await page.getByText('■ cancelled · note.take').waitFor();
      await page.screenshot({ path: join(SCREENSHOTS, `board-viewer-${name}.png`) });
      assert.equal(await page.getByRole('button', { name: /retry|clean/i }).count(), 0);
      const csrf = (await context.cookies()).find((cookie) => cookie.name === 'XSRF-TOKEN')?.value ?? '';
      for (const write of ['broken/retry', 'pause']) {
        const answer = await context.request.put(`${dashboard.url}board/api/queues/notes/${write}`, { headers: { 'X-XSRF-TOKEN': csrf } });
        assert.equal(answer.status(), 403);
        assert.match(await answer.text(), /This needs the role operator; vera is viewer/);
      }
      assert.equal((await producer.get('broken'))?.state, 'failed');
      assert.equal(await fleet.client.hget(metaKey, 'paused'), null);
      await context.close();
    });

    test('an operator retries a failed job and all of them, and pauses the queue', async () => {
      const [page, context] = await open('operator', 'board/queue/notes?status=failed');
      const job = page.getByRole('link', { name: 'Open its task page' });
      await page.getByText('no such note').first().waitFor();
      assert.equal(await job.count(), 2);
      await page
        .getByRole('link', { name: /^broken/ })
        .locator('xpath=following::button[1]')
        .click();
      await page.getByRole('button', { name: 'Confirm' }).click();
      (await note.call(1)).throws(new Error('still no such note'));
      await page.getByText('still no such note').first().waitFor();
      await page.getByRole('button', { name: 'Retry all' }).click();
      await page.getByRole('button', { name: 'Confirm' }).click();
      (await note.call(2)).returns('found');
      await until(
        () => producer.get('broken'),
        (task) => task?.state === 'completed',
      );
      assert.equal((await producer.get('stopped'))?.state, 'cancelled');

      await page.locator('main button[aria-haspopup="menu"]').first().click();
      await page.getByRole('menuitem', { name: 'Pause' }).click();
      await page.getByRole('button', { name: 'Confirm' }).click();
      await until(
        () => fleet.client.hget(metaKey, 'paused'),
        (paused) => paused === '1',
      );
      await page.locator('main button[aria-haspopup="menu"]').first().click();
      await page.getByRole('menuitem', { name: 'Resume' }).waitFor();
      await page.screenshot({ path: join(SCREENSHOTS, `board-operator-${name}.png`) });
      await page.getByRole('menuitem', { name: 'Empty' }).click();
      await page.getByRole('button', { name: 'Confirm' }).click();
      await page.getByText('Stop queued and running tasks on the Tasks page').waitFor();
      await page.screenshot({ path: join(SCREENSHOTS, `board-refusal-${name}.png`) });
      await context.close();
    });

    test('the API is described at /docs', async () => {
      const [page, context] = await open('viewer', 'docs');
      await page.getByText('/api/v1/tasks/{id}/stop').waitFor();
      await page.screenshot({ path: join(SCREENSHOTS, `docs-${name}.png`) });
      await context.close();
    });

    test('no page asked another origin or had an error', () => {
      // The browser reports the refused write.
      assert.deepEqual(
        watched.problems.filter((problem) => !problem.endsWith('/notes/empty)')),
        [],
      );
    });
  });
