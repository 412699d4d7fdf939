import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Producer, createProducer } from '../../../producer/index.js';
import { type Served, serveDashboard } from '../serve-dashboard.js';

let producer: Producer;
let served: Served;

before(async () => {
  // The pages contain no data, so Redis is not needed.
  producer = createProducer({ redisUrl: 'redis://127.0.0.1:1', logLevel: 'silent' });
  served = await serveDashboard(producer);
});
after(async () => {
  await served.close();
  await producer.close();
});

test('each page is served, and its resources are relative to the mount point', async () => {
  for (const path of ['/', '/tasks?item=a', '/tasks/chat-1', '/tasks/%zz', '/queues', '/workers', '/schedules', '/limits', '/audit']) {
    const { status, type, text, headers } = await served.send('GET', `/fleet${path}`);
    assert.deepEqual([status, type, headers['cache-control']], [200, 'text/html; charset=utf-8', 'no-store'], path);
    const addresses = [...text.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, address]) => address as string);
    const root = path.startsWith('/tasks/') ? '../' : './';
    assert.deepEqual(
      addresses.filter((address) => !address.startsWith(root) && address !== '#main'),
      [],
      path,
    );
    assert.doesNotMatch(text, /\{\{|<style|style=|<script(?! type="module" src=)|\bon\w+=/, 'the policy of the page would refuse it');
  }
});

test('the first page without its slash is redirected', async () => {
  const { status, headers } = await served.send('GET', '/fleet?item=a%20b');
  assert.deepEqual([status, headers['location']], [302, '/fleet/?item=a%20b']);
});

test('the addresses of former pages lead to the present ones', async () => {
  for (const [from, to] of [
    ['/stats', '/fleet/'],
    ['/?state=failed&limit=250', '/fleet/tasks?state=failed&limit=250'],
  ] as const) {
    const { status, headers } = await served.send('GET', `/fleet${from}`);
    assert.deepEqual([status, headers['location']], [302, to]);
  }
});

test("only the pages' scripts, styles and icon are served as assets", async () => {
  for (const path of ['page/css/base.css', 'page/favicon.svg', 'uplot/uPlot.esm.js', 'uplot/uPlot.min.css']) {
    const { status, headers } = await served.send('GET', `/fleet/assets/${path}`);
    assert.deepEqual([status, headers['cache-control'], headers['x-content-type-options']], [200, 'no-cache', 'nosniff'], path);
  }
  for (const path of [
    '',
    'page/',
    'page/layout.html',
    'page/tsconfig.json',
    'page/tasks.ts',
    'page/..%2fdashboard.js',
    'page/%2e%2e/%2e%2e/package.json',
    'page/../dashboard.ts',
    'uplot/uPlot.d.ts',
    'page/%zz.js',
    'uplot/..%2fpackage.js',
    'page/%00.css',
  ]) {
    const { status } = await served.send('GET', `/fleet/assets/${path}`);
    assert.ok(status === 404 || status === 400, `${path}: ${status}`);
  }
});
