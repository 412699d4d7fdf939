import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { entryOf, newToken } from '../../../dashboard/auth/tokens.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { noNginx, startNginx } from '../../support/network/nginx.js';
import { built } from '../../support/process/built.js';
import { spawnNode } from '../../support/process/processes.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';
import { SCREENSHOTS } from './support/check-page.js';
import { Watched, noChromium, startChromium } from './support/chromium.js';

const token = newToken();

describe('a dashboard at /fleet/ behind nginx, beside another application', { skip: noChromium || noNginx, timeout: 450_000 }, () => {
  let fleet: TestFleet;
  let browser: Browser;
  const note = new ScriptedTask('note.take', { queue: 'notes' });

  before(async () => {
    [browser, fleet] = await Promise.all([startChromium(), TestFleet.start(), mkdir(SCREENSHOTS, { recursive: true })]);
  });
  after(async () => {
    await browser?.close();
    await fleet?.stop();
  });

  test('a user signs in, follows and stops a task and opens the board; the other application gets nothing of it', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [note.handler]);
    const { id } = await producer.enqueue(note.definition, {});
    const call = await note.call();
    const [dashboard, other] = await Promise.all([startDashboard(t, keyPrefix), startOther(t)]);
    const origin = await startNginx(t, await sampleConfig(dashboard, other.url));
    const watched = new Watched(origin);
    const context = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' });
    const page = await watched.open(context);
    const at = (path: string): string => `${origin}/fleet${path}`;

    await page.goto(`${origin}/fleet`);
    assert.equal(page.url(), at('/sign-in?next=%2Ffleet%2F'));
    await shot(page, 'sign-in');
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL(at('/'));
    await page.getByRole('link', { name: 'Tasks', exact: true }).click();
    await page.waitForURL(at('/tasks'));
    await page
      .getByRole('link', { name: id.slice(-8) })
      .or(page.locator(`a[href*="${id}"]`))
      .first()
      .click();
    await page.waitForURL(at(`/tasks/${id}`));

    // nginx would hold back a few bytes of a response that it buffers.
    call.context.emit('the first words');
    await page.goto(at(`/tasks/${id}#output`));
    await page.getByText('the first words').waitFor();
    call.context.emit('and the next');
    await page.getByText('and the next').waitFor();
    await shot(page, 'task');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('dialog', { name: 'Stop this task?' }).getByRole('button', { name: 'Stop' }).click();
    await call.aborted;
    call.throws(new Error('stopped'));
    await until(
      () => producer.get(id),
      (task) => task?.state === 'cancelled',
    );
    await page.locator('main').getByText('cancelled').first().waitFor();
    await shot(page, 'stopped');

    await page.goto(at('/board/queue/notes'));
    await page.getByText('cancelled · note.take').first().waitFor();
    await shot(page, 'board');
    await page.goto(at('/docs'));
    await page.getByText('/api/v1/tasks/{id}/stop').waitFor();
    await page.getByRole('combobox').first().waitFor();
    assert.equal(await page.getByRole('combobox').first().inputValue(), '/fleet');
    await shot(page, 'docs');
    assert.deepEqual(watched.problems, []);
    await page.goto(at('/no/such/page'));
    await page.getByText('There is nothing at this path.').waitFor();
    assert.equal(
      await page.getByRole('link', { name: 'Overview' }).evaluate((link) => (link as unknown as { href: string }).href),
      at('/'),
    );
    await shot(page, 'not-found');

    assert.equal(other.requests.length, 0);
    await page.goto(`${origin}/`);
    assert.equal(await page.locator('body').innerText(), 'another application');
    assert.deepEqual(await page.evaluate('document.cookie'), '');
    assert.ok((await context.cookies(at('/'))).length === 2);
    assert.deepEqual([...other.requests], ['/ without a cookie']);
    await context.close();
  });

  test('the API and the command work at /fleet', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const [dashboard, other] = await Promise.all([startDashboard(t, keyPrefix), startOther(t)]);
    const origin = await startNginx(t, await sampleConfig(dashboard, other.url));
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
    const body = JSON.stringify({ name: 'fleet.canary', input: { run_ms: 60_000 } });
    const added = await fetch(`${origin}/fleet/api/v1/tasks`, { method: 'POST', headers, body });
    const { id } = (await added.json()) as { id: string };
    assert.equal(added.headers.get('location'), `/fleet/api/v1/tasks/${id}`);
    assert.equal((await fetch(new URL(added.headers.get('location') ?? '', origin), { headers })).status, 200);
    const events = await fetch(`${origin}/fleet/api/v1/tasks/${id}/events`, { headers });
    const reader = events.body?.pipeThrough(new TextDecoderStream()).getReader();
    assert.match((await reader?.read())?.value ?? '', /retry|snapshot/);
    await reader?.cancel();
    const cli = spawnNode([built('dist/cli/main.js'), 'task', 'stop', id, '--api', `${origin}/fleet`, '--token', token, '-o', 'json']);
    assert.deepEqual([(await cli.exit).code, JSON.parse(cli.stdout.text)[0].outcome], [0, 'cancelled'], cli.stderr.text);
    assert.equal(other.requests.length, 0);
  });

  /** Runs the command's dashboard as docs/reference/http.md does. Returns its origin. */
  async function startDashboard(t: TestContext, keyPrefix: string): Promise<string> {
    const env = {
      REDIS_URL: fleet.redis.url,
      REDIS_KEY_PREFIX: keyPrefix,
      API_PORT: '0',
      API_TRUST_PROXY: 'loopback',
      API_TOKENS: entryOf(token, { name: 'olga', role: 'operator', items: null }),
    };
    const dashboard = spawnNode([built('dist/cli/main.js'), 'dashboard'], { env });
    t.after(() => dashboard.stop());
    const [, url = ''] = await dashboard.waitForLine(/"url":"(http:[^"]+)"/);
    return url;
  }
});

/** Returns the configuration in the documentation, for these servers. */
async function sampleConfig(dashboard: string, other: string): Promise<string> {
  const page = await readFile('docs/reference/http.md', 'utf8');
  const [, sample = ''] = /```nginx\n([^]*?)```/.exec(page) ?? [];
  assert.ok(sample.includes('http://127.0.0.1:8420/') && sample.includes('http://127.0.0.1:3000'));
  return sample.replace('http://127.0.0.1:8420', dashboard).replace('http://127.0.0.1:3000', other);
}

/** Serves another application, which records its requests. */
async function startOther(t: TestContext): Promise<{ readonly url: string; readonly requests: readonly string[] }> {
  const requests: string[] = [];
  const server = createServer((req, res) => {
    requests.push(`${req.url} ${req.headers.cookie ?? 'without a cookie'}`);
    res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>other</title><link rel="icon" href="data:,">another application');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

async function shot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(SCREENSHOTS, `proxy-${name}.png`) });
}
