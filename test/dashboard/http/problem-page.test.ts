import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createProducer } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type Reply, TestDashboard } from '../test-dashboard.js';

const HTML = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

const fleet = await TestFleet.start();
after(() => fleet.stop());

/** Returns the parts of a problem page: its status and retry interval, and its title. */
function partsOf({ text, headers }: Reply): readonly (string | undefined)[] {
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  assert.doesNotMatch(text, /\{\{|<style|style=|<script(?! type="module" src=)|\bon\w+=/, 'the policy of the page would refuse it');
  return [/data-status="(\d+)"/.exec(text)?.[1], /data-retry-ms="(\d+)"/.exec(text)?.[1], /<h1>(.*)<\/h1>/.exec(text)?.[1]];
}

test('a browser gets a page for a missing or forbidden address, and a program a problem', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer());
  t.after(() => dashboard.stop());
  const { cookie } = await dashboard.signIn(dashboard.tokens.viewer);
  const as = { ...HTML, Cookie: cookie };

  const missing = await dashboard.send('GET', '/a/<b>/c?d=e', { headers: as });
  assert.equal(missing.status, 404);
  assert.deepEqual(partsOf(missing), ['404', '10000', 'Not found']);
  assert.match(missing.text, /href="\.\.\/\.\.\/assets\/page\/css\/base\.css"/, 'relative to the mount point');
  const data = await dashboard.send('GET', '/a/<b>/c', { headers: { Cookie: cookie, Accept: '*/*' } });
  assert.deepEqual([data.status, (data.body as { code: string }).code], [404, 'NOT_FOUND']);

  const audit = await dashboard.send('GET', '/audit?action=<i>', { headers: as });
  assert.equal(audit.status, 403);
  assert.deepEqual(partsOf(audit), ['403', '10000', 'No access']);
  assert.match(audit.text, /Requires the role admin; viewer has the role viewer/);
  assert.match(audit.text, /href="\.\/sign-in\?next=%2Faudit%3Faction%3D%3Ci%3E"/);
  const api = await dashboard.send('GET', '/api/v1/audit', { headers: as });
  assert.deepEqual([api.status, api.headers['content-type']], [403, 'application/problem+json']);
  assert.equal((await dashboard.send('GET', '/audit', { token: dashboard.tokens.admin, headers: HTML })).status, 200);
});

test('a caller with item patterns starts with the task list, as the overview covers all tasks', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer());
  t.after(() => dashboard.stop());
  const { status, headers } = await dashboard.send('GET', '/', { token: dashboard.tokens['alice-viewer'], headers: HTML });
  assert.deepEqual([status, headers.location], [302, '/tasks']);
});

test('while Redis is away, a browser gets a page that tries again', async (t) => {
  const present = await TestDashboard.start(fleet.producer());
  t.after(() => present.stop());
  const { cookie } = await present.signIn(present.tokens.viewer);
  const producer = createProducer({ redisUrl: 'redis://127.0.0.1:1', logLevel: 'silent' });
  t.after(() => producer.close());
  const dashboard = await TestDashboard.start(producer);
  t.after(() => dashboard.stop());
  const away = await dashboard.send('GET', '/tasks/report-1', { headers: { ...HTML, Cookie: cookie } });
  assert.deepEqual([away.status, away.headers['retry-after']], [503, '2']);
  assert.deepEqual(partsOf(away), ['503', '2000', 'The fleet is unavailable']);
  assert.match(away.text, /<noscript><meta http-equiv="refresh" content="2"><\/noscript>/);
  assert.doesNotMatch(away.text, /127\.0\.0\.1:1/, 'discloses where Redis is');
  for (const path of ['/assets/page/css/tokens.css', '/assets/page/favicon.svg'])
    assert.equal((await dashboard.send('GET', path)).status, 200, path);
});
