import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOf } from '../../cli/client/api-address.js';
import { CliError } from '../../cli/errors.js';
import { runCli } from '../support/process/run-cli.js';

const API = 'http://c.test';
const FLAGS = { output: 'json' } as const;

test('chooses API or Redis from options and environment', () => {
  const env = { TASKFLEET_API: 'http://a.test/fleet/api/v1/', TASKFLEET_TOKEN: 'abc', REDIS_URL: 'redis://b.test' };
  assert.deepEqual(apiOf({ env }, FLAGS), { url: 'http://a.test/fleet', token: 'abc' });
  assert.deepEqual(apiOf({ env }, { ...FLAGS, api: 'https://c.test', token: 'def' }), { url: 'https://c.test', token: 'def' });
  assert.equal(apiOf({ env }, { ...FLAGS, redis: 'redis://d.test' }), null);
  assert.equal(apiOf({ env: { TASKFLEET_API: '', TASKFLEET_TOKEN: 'abc' } }, FLAGS), null);
});

test('refuses an unusable address with exit code 2, without repeating its secrets', () => {
  for (const bad of [
    { api: API, redis: 'redis://d.test' },
    { token: 'x' },
    { api: API, prefix: 'p' },
    { api: API, token: 'hunter 2' },
    { api: 'http://u:hunter2@c.test' },
    { api: 'hunter2' },
  ])
    assert.throws(
      () => apiOf({ env: {} }, { ...FLAGS, ...bad }),
      (error: unknown) => error instanceof CliError && error.exitCode === 2 && !error.message.includes('hunter'),
    );
});

test('refuses an API for a command that needs Redis', async () => {
  const { code, stderr } = await runCli(['up', '--api', API]);
  assert.deepEqual([code, stderr], [2, 'taskfleet: taskfleet up needs Redis and does not accept --api or --token.']);
});
