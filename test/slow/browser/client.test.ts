import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import express from 'express';
import type { Browser, Page } from 'playwright-core';
import { type Dashboard, createDashboard } from '../../../dashboard/index.js';
import type { Producer } from '../../../producer/index.js';
import { type Served, serve } from '../../dashboard/serve-dashboard.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { PAGE_LIMIT_MS, noChromium, startChromium } from './support/chromium.js';

/** The app of the page: it follows a task, reports what it hears, and stops it on request. */
const APP = `
import { ForbiddenError, TaskCancelledError, TaskNotFoundError, TaskfleetClient } from '${fileURLToPath(new URL('../../../client/index.ts', import.meta.url))}';

window.run = async ({ baseUrl, cutUrl, token, item }) => {
  const client = new TaskfleetClient({ baseUrl, token: async () => token });
  // The proxy of the tests passes requests without a body.
  const cut = new TaskfleetClient({ baseUrl: cutUrl, token });
  const heard = (window.heard = []);
  const { id } = await client.enqueue({ name: 'test.talk', item }, { idempotencyKey: 'message-1' });
  window.stop = () => client.stopItem(item, { reason: 'the user left', waitMs: 60_000 });
  for await (const event of cut.events(id)) heard.push(event.type === 'chunk' ? event.chunk : event.state);
  const classes = [TaskCancelledError, TaskNotFoundError, ForbiddenError];
  const thrown = async (call) => call.then(() => null, (error) => [error.name, ...classes.map((one) => error instanceof one)]);
  return {
    heard,
    ended: await thrown(client.result(id)),
    other: await thrown(client.retry('of-another-chat')),
    forbidden: await thrown(client.request('GET', '/overview')),
    listed: (await client.list({ state: 'all' })).tasks.map((task) => task.id === id),
  };
};
`;

describe('the client in a browser, on a page of another origin', { skip: noChromium }, () => {
  const talk = new ScriptedTask('test.talk');
  let fleet: TestFleet;
  let producer: Producer;
  let dashboard: Dashboard;
  let api: Served;
  let site: Served;
  let proxy: FaultProxy;
  let browser: Browser;
  let page: Page;

  before(async () => {
    fleet = await TestFleet.start();
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await fleet.worker(prefix, [talk.handler]);
    const { outputFiles } = await build({
      ...{ stdin: { contents: APP, resolveDir: fileURLToPath(new URL('.', import.meta.url)) }, write: false },
      ...{ bundle: true, minify: true, format: 'esm', platform: 'browser', logLevel: 'silent' },
    });
    const script = outputFiles[0]?.text ?? assert.fail();
    const pages = express();
    pages.get('/app.js', (_req, res) => void res.type('text/javascript').send(script));
    pages.get(
      '/',
      (_req, res) => void res.send('<!doctype html><link rel="icon" href="data:,"><script type="module" src="/app.js"></script>'),
    );
    site = await serve(pages);
    dashboard = createDashboard({
      ...{ producer, definitions: [talk.definition], streams: { keepAliveMs: 100 }, corsOrigins: [`http://127.0.0.1:${site.port}`] },
      // Only an item token gets in.
      auth: () => null,
      loggers: new LogLines().loggers,
    });
    api = await serve(express().use('/fleet', dashboard.router));
    proxy = await FaultProxy.start(api.port);
    browser = await startChromium();
    page = await browser.newPage();
    page.setDefaultTimeout(PAGE_LIMIT_MS);
  });
  after(async () => {
    await browser.close();
    await proxy.stop();
    await dashboard.close();
    await Promise.all([api.close(), site.close()]);
    await fleet.stop();
  });

  test('an item token follows and stops its own chat across lost connections, and nothing else', { timeout: 450_000 }, async () => {
    await producer.enqueue(talk.definition, {}, { id: 'of-another-chat', item: 'chat-8', delay: 3_600_000 });
    const { token } = await producer.itemTokens.issue({
      role: 'operator',
      items: ['chat-7'],
      tasks: ['test.talk'],
      expiresIn: '15m',
      name: 'user-3',
    });
    await page.goto(`http://127.0.0.1:${site.port}/`);
    const ended = page.evaluate(
      'run(' +
        JSON.stringify({
          baseUrl: `http://127.0.0.1:${api.port}/fleet`,
          cutUrl: `http://127.0.0.1:${proxy.port}/fleet`,
          token,
          item: 'chat-7',
        }) +
        ')',
    );
    const call = await talk.call();
    void call.aborted.then((cause) => call.throws(cause));
    for (let n = 1; n <= 30; n += 1) {
      call.context.emit(n);
      if (n % 10 !== 0) continue;
      await page.waitForFunction(`heard.length >= ${n / 2}`);
      proxy.reset();
    }
    await page.waitForFunction('heard.includes(30)');
    const receipts = await page.evaluate<{ outcome: string; by: string; reason: string }[]>('stop()');
    assert.deepEqual(
      receipts.map(({ outcome, by, reason }) => [outcome, by.endsWith('user-3'), reason]),
      [['cancelled', true, 'the user left']],
    );
    const { heard, ...rest } = (await ended) as { heard: unknown[] };
    assert.deepEqual(
      heard.filter((one) => one !== 'stopping'),
      ['queued', 'running', ...Array.from({ length: 30 }, (_, n) => n + 1), 'cancelled'],
    );
    assert.deepEqual(rest, {
      ended: ['TaskCancelledError', true, false, false],
      other: ['TaskNotFoundError', false, true, false],
      forbidden: ['ForbiddenError', false, false, true],
      listed: [true],
    });
  });
});
