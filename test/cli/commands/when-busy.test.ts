import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { builtUrl } from '../../support/process/built.js';
import type { CommandResult } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';

const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${builtUrl('dist/worker/index.js')}';

const define = (name, options) => defineHandler(defineTask({ name, input: z.strictObject({}), ...options }), () => null);
export default [
  define('chat.answer', { concurrency: { by: 'item', limit: 1 } }),
  define('report.write', { concurrency: { limit: 1, maxWaiting: 0 } }),
  define('mail.send', {}),
];
`;

/** No worker: an admitted task stays in its queue and keeps its place. */
describe('taskfleet task enqueue --when-busy', () => {
  let redis: TestRedis;
  let folder: string;

  before(async () => {
    redis = await startTestRedis();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-when-busy-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  after(async () => {
    await redis.stop();
    await rm(folder, { recursive: true });
  });

  const task = (...args: string[]): Promise<CommandResult> =>
    runCli(['task', ...args], { env: { REDIS_URL: redis.url, TASK_MODULES: 'tasks.mjs' }, cwd: folder });
  const ask = (id: string, ...args: string[]) => task('enqueue', 'chat.answer', '--item', 'chat:1', '--id', id, ...args);

  it('lines up, is refused, replaces the tasks in line, or stops all others of the key', async () => {
    assert.deepEqual([(await ask('a')).code, (await ask('b', '--when-busy', 'wait')).code], [0, 0]);
    assert.match((await task('show', 'b')).stdout, /^waiting +first in line for chat:1, behind a \(limit 1, 1 in line\)$/m);
    const refused = await ask('refused', '--when-busy', 'reject');
    assert.deepEqual([refused.code, refused.stdout], [1, '']);
    assert.match(refused.stderr, /Key "chat:1" of chat\.answer is taken: a, b\. Nothing was added\./);
    assert.equal((await task('show', 'refused')).code, 3);

    assert.equal((await ask('c', '--when-busy', 'replace-waiting')).code, 0);
    assert.match((await task('show', 'b')).stdout, /^state +cancelled$[^]*Superseded by task c/m);
    assert.match((await task('show', 'c')).stdout, /^waiting +first in line for chat:1, behind a /m);

    const stopping = await ask('d', '--on-busy', 'stop-previous', '-o', 'json');
    const { id, state, waiting_for } = JSON.parse(stopping.stdout) as Record<string, unknown>;
    assert.deepEqual([stopping.code, id, state, waiting_for], [0, 'd', 'queued', null]);
    for (const stopped of ['a', 'c']) assert.match((await task('show', stopped)).stdout, /^state +cancelled$/m, stopped);
  });

  it('names the full line of a limit without keys', async () => {
    assert.equal((await task('enqueue', 'report.write', '--id', 'first')).code, 0);
    const full = await task('enqueue', 'report.write');
    assert.equal(full.code, 1);
    assert.match(full.stderr, /The limit of all tasks of report\.write has a full line \(maxWaiting 0\): first\./);
  });

  it('says what a bad policy should have been', async () => {
    const unknown = await ask('bad', '--when-busy', 'queue');
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /'queue' is invalid\. Allowed choices are wait, reject, stop-previous, replace-waiting\./);
    const unlimited = await task('enqueue', 'mail.send', '--item', 'a', '--when-busy', 'wait');
    assert.equal(unlimited.code, 2);
    assert.match(unlimited.stderr, /expected 'stop-previous' or 'reject', got "wait", which needs a definition with concurrency/);
    const twice = await ask('bad', '--when-busy', 'wait', '--on-busy', 'reject');
    assert.equal(twice.code, 2);
    assert.match(twice.stderr, /contradicts whenBusy/);
  });
});
