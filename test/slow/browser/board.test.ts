import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Producer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';
import { type BuiltDashboard, serveBuilt } from './support/built-dashboard.js';
import { SCREENSHOTS } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

const MOUNTS = ['/', '/ops/fleet'] as const;

describe('the board in a browser', { skip: noChromium }, () => {
  let fleet: TestFleet;
  let browser: Browser;
  let producer: Producer;
  let keyPrefix: string;
  let metaKey: string;
  const note = new ScriptedTask('note.take', { queue: 'notes' });
  let attempts = 0;

  before(async () => {
    [browser, fleet] = await Promise.all([startChromium(), TestFleet.start(), mkdir(SCREENSHOTS, { recursive: true })]);
    keyPrefix = fleet.newPrefix();
    metaKey = `${createKeys(keyPrefix).jobs('notes')}meta`;
    producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [note.handler]);
    await producer.enqueue(note.definition, {}, { id: 'stopped', delay: 3_600_000 });
    await producer.stop('stopped');
  });
  after(async () => {
    await browser?.close();
    await fleet?.stop();
  });

  for (const mount of MOUNTS)
    test(`a viewer reads, and an operator retries and pauses, on the board of a dashboard at ${mount}`, async (t) => {
      const dashboard = await serveBuilt(fleet.redis.url, keyPrefix, mount);
      t.after(() => dashboard.close());
      const watched = new Watched(dashboard.origin);
      const name = mount.replaceAll('/', '-');
      const id = `broken${name}`;
      await producer.enqueue(note.definition, {}, { id });
      (await note.call(attempts++)).throws(new Error('no such note'));
      await producer.waitUntilFinished(id);

      await seeAsViewer(dashboard, watched, id, name);
      const [page, context] = await signIn(dashboard, watched, 'operator', 'board/queue/notes?status=failed');
      await page.getByText('no such note').first().waitFor();
      await page.getByRole('link', { name: id }).locator('xpath=following::button[1]').click();
      await page.getByRole('button', { name: 'Confirm' }).click();
      (await note.call(attempts++)).throws(new Error('still no such note'));
      await page.getByText('still no such note').first().waitFor();
      await page.getByRole('button', { name: 'Retry all' }).click();
      await page.getByRole('button', { name: 'Confirm' }).click();
      (await note.call(attempts++)).returns('found');
      await until(
        () => producer.get(id),
        (task) => task?.state === 'completed',
      );
      assert.equal((await producer.get('stopped'))?.state, 'cancelled');

      await choose(page, 'Pause');
      await until(
        () => fleet.client.hget(metaKey, 'paused'),
        (paused) => paused === '1',
      );
      await page.getByText('Paused').waitFor();
      await choose(page, 'Empty');
      await page.getByText('Stop queued and running tasks on the Tasks page').waitFor();
      await page.screenshot({ path: join(SCREENSHOTS, `board-operator${name}.png`) });
      await choose(page, 'Resume');
      await until(
        () => fleet.client.hget(metaKey, 'paused'),
        (paused) => paused === null,
      );
      await context.close();
      // The browser reports the refused write.
      assert.deepEqual(
        watched.problems.filter((problem) => !problem.endsWith('/notes/empty)')),
        [],
      );
    });

  test('the page at /docs describes the API', async (t) => {
    const dashboard = await serveBuilt(fleet.redis.url, keyPrefix, '/ops/fleet');
    t.after(() => dashboard.close());
    const watched = new Watched(dashboard.origin);
    const [page, context] = await signIn(dashboard, watched, 'viewer', 'docs');
    await page.getByText('/api/v1/tasks/{id}/stop').waitFor();
    await page.screenshot({ path: join(SCREENSHOTS, 'docs-1280.png') });
    await context.close();
    assert.deepEqual(watched.problems, []);
  });

  /** A viewer has no button for a write, and gets 403. */
  async function seeAsViewer(dashboard: BuiltDashboard, watched: Watched, id: string, name: string): Promise<void> {
    const [page, context] = await signIn(dashboard, watched, 'viewer', 'board/queue/notes?status=latest');
    await page.getByText('■ cancelled · note.take').waitFor();
    await page.goto(`${dashboard.url}board/queue/notes?status=failed`);
    await page.getByText('no such note').first().waitFor();
    assert.equal(await page.getByText('■ cancelled · note.take').count(), 0);
    await page.screenshot({ path: join(SCREENSHOTS, `board-viewer${name}.png`) });
    assert.equal(await page.getByRole('button', { name: /retry|clean/i }).count(), 0);
    const csrf = (await context.cookies()).find((cookie) => cookie.name === 'XSRF-TOKEN')?.value ?? '';
    for (const write of [`${id}/retry`, 'pause']) {
      const answer = await context.request.put(`${dashboard.url}board/api/queues/notes/${write}`, { headers: { 'X-XSRF-TOKEN': csrf } });
      assert.equal(answer.status(), 403);
      assert.match(await answer.text(), /Requires the role operator; vera has the role viewer/);
    }
    assert.equal((await producer.get(id))?.state, 'failed');
    assert.equal(await fleet.client.hget(metaKey, 'paused'), null);
    await context.close();
  }

  async function signIn(
    dashboard: BuiltDashboard,
    watched: Watched,
    who: 'operator' | 'viewer',
    path: string,
  ): Promise<[Page, BrowserContext]> {
    const context = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' });
    const page = await watched.open(context);
    await page.goto(dashboard.url + path);
    await page.getByLabel('Token').fill(dashboard.tokens[who]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    return [page, context];
  }

  async function choose(page: Page, item: string): Promise<void> {
    await page.locator('main button[aria-haspopup="menu"]').first().click();
    await page.getByRole('menuitem', { name: item }).click();
    await page.getByRole('button', { name: 'Confirm' }).click();
  }
});
