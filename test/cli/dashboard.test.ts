import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { built } from '../support/process/built.js';
import { startCommand } from '../support/process/command.js';
import { runCli } from '../support/process/run-cli.js';
import { type TestRedis, startTestRedis } from '../support/redis/test-redis.js';
import { until } from '../support/until.js';

let folder: string;
let redis: TestRedis;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskfleet-dashboard-'));
  redis = await startTestRedis();
});
after(async () => {
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

test('accepts a created token, knows the tasks of TASK_MODULES, and records a stop by open-webui without a worker', async (t) => {
  const made = await runCli(['token', 'create', '--name', 'ada', '--role', 'submitter', '--item', 'chat:*', '--item', 'draft:1'], {
    cwd: folder,
  });
  assert.equal(made.code, 0);
  const [token = '', entry = '', ...others] = made.stdout.trim().split('\n');
  assert.deepEqual(others, []);
  assert.match(entry, /^ada:submitter:[0-9a-f]{64}:chat:\*,draft:1$/);
  const env = { REDIS_URL: redis.url, API_TOKENS: ` ${entry} ; `, TASK_MODULES: built('test/cli/commands/tasks.mjs') };
  const dashboard = startCommand(['dashboard', '--port', '0'], { cwd: folder, env });
  t.after(() => dashboard.stop());
  const { groups } = await dashboard.waitForLine(/"url":"(?<url>http:\/\/127\.0\.0\.1:\d+)".*Dashboard listening/);
  const url = groups?.['url'] ?? '';
  const ask = async (path: string): Promise<Record<string, unknown>> =>
    (await (await fetch(`${url}${path}`, { headers: { Authorization: `Bearer ${token}` } })).json()) as Record<string, unknown>;
  assert.deepEqual(await ask('/api/v1/me'), {
    name: 'ada',
    role: 'submitter',
    items: ['chat:*', 'draft:1'],
    via: 'token',
    csrf_token: null,
  });
  const names = JSON.stringify(await ask('/api/v1/definitions'));
  for (const name of ['fleet.canary', 'test.talk']) assert.ok(names.includes(name), name);
  const { id } = (await (
    await fetch(`${url}/api/v1/tasks`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: '{"name":"fleet.canary","item":"chat:1"}',
    })
  ).json()) as { id: string };
  const client = redis.client();
  await until(
    () => client.publish('taskfleet:tasks:commands', JSON.stringify({ action: 'stop', task_id: id })),
    (heard) => heard > 0,
    { everyMs: 50 },
  );
  await until(
    () => ask(`/api/v1/tasks/${id}`),
    ({ state }) => state === 'cancelled',
    { everyMs: 20 },
  );
  dashboard.kill('SIGTERM');
  assert.deepEqual(await dashboard.exit, { code: 0, signal: null });
  assert.ok(!(dashboard.stderr.text + dashboard.stdout.text).includes(token));
});

test('exits with code 78 on unusable settings, with a message that contains no secret', async () => {
  const env = { REDIS_URL: redis.url };
  const [elsewhere, bad, odd] = await Promise.all([
    runCli(['dashboard', '--host', '0.0.0.0', '--port', '0'], { cwd: folder, env }),
    runCli(['dashboard', '--port', '0'], { cwd: folder, env: { ...env, API_TOKENS: 'ada:admin:hunter2' } }),
    runCli(['dashboard', '--host', 'a b'], { cwd: folder, env }),
  ]);
  assert.equal(elsewhere.code, 78);
  assert.match(elsewhere.stderr, /^taskfleet: API_HOST: expected a loopback address .* Set API_TOKENS/m);
  assert.equal(bad.code, 78);
  assert.match(bad.stderr, /API_TOKENS: entry ada: expected the SHA-256/);
  assert.doesNotMatch(bad.stderr, /hunter2/);
  assert.equal(odd.code, 2);
});

test('token create requires a valid name and role, and prints JSON with -o json', async () => {
  const create = (...args: string[]): ReturnType<typeof runCli> => runCli(['token', 'create', ...args], { cwd: folder });
  const [badName, badRole, noName, badItem, json] = await Promise.all([
    create('--name', 'a:b', '--role', 'viewer'),
    create('--name', 'ada', '--role', 'root'),
    create('--role', 'viewer'),
    create('--name', 'ada', '--role', 'viewer', '--item', 'a,b'),
    create('--name', 'ada', '--role', 'viewer', '-o', 'json'),
  ]);
  assert.deepEqual([badName.code, badRole.code, noName.code, badItem.code, json.code], [2, 2, 2, 2, 0]);
  for (const { stdout } of [badName, badRole, noName, badItem]) assert.equal(stdout, '');
  assert.deepEqual(Object.keys(JSON.parse(json.stdout) as object), ['token', 'entry']);
});
