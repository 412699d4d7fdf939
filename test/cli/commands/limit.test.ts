import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { CliFleet } from '../../support/fleet/cli-fleet.js';
import type { CommandResult } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { KEEP } from '../../support/task/keep.js';
import { lineUp, placeStep } from '../../support/task/line.js';

const chat = defineTask({ name: 'test.chat', queue: 'unserved', input: z.object({}), retention: KEEP });

describe('taskfleet limit', () => {
  let fleet: CliFleet;

  before(async () => {
    fleet = await CliFleet.start();
    const { producer } = fleet;
    await producer.ping();
    await producer.store.limiter.publish([
      placeStep('test.chat', 'k'),
      { limit: 'rate:task:test.chat#0', max: [60, 60_000, 6], keyed: false },
    ]);
    for (const id of ['a', 'b', 'c']) await lineUp(producer, chat, { id, item: 'chat:1', steps: [placeStep('test.chat', 'chat:1')] });
  });
  after(() => fleet.stop());

  const run = (...args: string[]): Promise<CommandResult> => runCli(args, { env: fleet.env, cwd: fleet.folder });

  it('lists keys with a line first, then what is published', async () => {
    const { code, stdout, stderr } = await run('limit', 'list');
    assert.deepEqual([code, stderr], [0, '']);
    const [header = '', ...lines] = stdout.split('\n');
    assert.match(header, /^NAME +KEY +LIMIT +SOURCE +RUNNING +WAITING +OLDEST +NEXT$/);
    assert.match(lines[0] ?? '', /^test\.chat +chat:1 +1 +definition +1 +2 +\d+s +-$/);
    assert.match(lines[1] ?? '', /^test\.chat +- +60 per 1m +definition +- +0 +- +-$/);
    assert.match(lines[2] ?? '', /^test\.chat +\* +1 +definition +- +- +- +-$/);
    const page = JSON.parse((await run('limit', 'list', '--limit', '1', '-o', 'json')).stdout) as { limits: unknown[]; next: string };
    assert.equal(page.limits.length, 1);
    const more = await run('limit', 'list', '--name', 'test.chat', '--after', page.next, '-o', 'json');
    assert.equal((JSON.parse(more.stdout) as { limits: unknown[] }).limits.length, 2);
  });

  it('shows where a task stands', async () => {
    const { stdout } = await run('task', 'show', 'c');
    assert.match(stdout, /^state +queued$/m);
    assert.match(stdout, /^waiting +second in line for chat:1, behind a \(limit 1, 2 in line\)$/m);
    assert.match((await run('task', 'list', '--state', 'queued')).stdout, /^c +test\.chat +queued .* second in line for chat:1 /m);
  });

  it('sets and clears the limit of a key; a task that waits starts', async () => {
    const set = await run('limit', 'set', 'test.chat', '2', '--key', 'chat:1');
    assert.deepEqual([set.code, set.stderr], [0, 'Limit of chat:1 of test.chat: 2. Running 2, waiting 1.']);
    const cleared = await run('limit', 'clear', 'test.chat', '--key', 'chat:1', '-o', 'json');
    assert.deepEqual(JSON.parse(cleared.stdout), { name: 'test.chat', key: 'chat:1', cleared: true });
    const again = await run('limit', 'clear', 'test.chat', '--key', 'chat:1');
    assert.deepEqual([again.code, again.stderr.includes('No limit is set for chat:1 of test.chat.')], [3, true]);
    const whole = await run('limit', 'set', 'test.chat', '2');
    assert.equal(whole.code, 3);
    assert.match(whole.stderr, /It has limits by key: name a key, or \* for every key\./);
    assert.equal((await run('limit', 'set', 'test.chat', 'many')).code, 2);
  });
});
