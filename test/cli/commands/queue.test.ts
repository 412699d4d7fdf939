import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { TestDashboard } from '../../dashboard/test-dashboard.js';
import { CliFleet } from '../../support/fleet/cli-fleet.js';
import type { CommandResult } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { KEEP } from '../../support/task/keep.js';

const chat = defineTask({ name: 'test.chat', queue: 'unserved', input: z.object({}), retention: KEEP });

describe('taskfleet queue', () => {
  let fleet: CliFleet;
  let dashboard: TestDashboard;

  before(async () => {
    fleet = await CliFleet.start();
    dashboard = await TestDashboard.start(fleet.producer);
    await fleet.producer.enqueue(chat, {}, { id: 'a' });
  });
  after(async () => {
    await dashboard.stop();
    await fleet.stop();
  });

  const run = (...args: string[]): Promise<CommandResult> => runCli(['queue', ...args], { env: fleet.env, cwd: fleet.folder });
  const overApi = (...args: string[]): Promise<CommandResult> =>
    runCli(['queue', ...args], { env: { TASKFLEET_API: dashboard.url, TASKFLEET_TOKEN: dashboard.tokens.operator }, cwd: fleet.folder });

  it('pauses a queue over Redis, says so in the list and for each of its tasks, and resumes it', async () => {
    const paused = await run('pause', 'unserved', '--reason', 'the model is down', '--by', 'alice');
    assert.equal(paused.code, 0);
    assert.match(paused.stderr, /^Queue unserved is paused by alice: the model is down \(\d+s ago\)\. 1 queued, 0 running\.$/);
    const again = await run('pause', 'unserved', '--by', 'bob');
    assert.match(again.stderr, /paused by alice: the model is down/);
    const { stdout } = await run('list');
    assert.match(stdout, /^NAME +STATE +QUEUED +IN LINE +SCHEDULED +RUNNING +FAILED +OLDEST +IN\/MIN +OUT\/MIN +WORKERS +PAUSED$/m);
    assert.match(stdout, /^unserved +paused +1 +0 +0 +0 +0 +\d+s +\d +0 +0 +\d+s ago by alice: the model is down$/m);
    assert.match((await fleet.task('show', 'a')).stdout, /^waiting +queue unserved is paused by alice: the model is down \(\d+s ago\)$/m);
    const [queue] = JSON.parse((await run('list', '-o', 'json')).stdout).filter(({ name }: { name: string }) => name === 'unserved');
    assert.deepEqual([queue.paused.by, queue.paused.shards, queue.counts.queued], ['alice', ['unserved'], 1]);
    assert.match((await run('resume', 'unserved')).stderr, /^Queue unserved runs\. 1 queued, 0 running\.$/);
    assert.doesNotMatch((await run('list')).stdout, /PAUSED/);
  });

  it('says of an enqueued task that it waits', async () => {
    await run('pause', 'test', '--by', 'alice');
    const added = await fleet.task('enqueue', 'test.fail', '--input', '{}');
    assert.match(added.stderr, /^Note: queue test is paused by alice\. The task starts once it is resumed\.$/m);
    await run('resume', 'test');
  });

  it("does the same over the API, under the token's name", async () => {
    const paused = await overApi('pause', 'unserved', '--reason', 'why not', '-o', 'json');
    const { paused: pause } = JSON.parse(paused.stdout) as { paused: { by: string; reason: string } };
    assert.deepEqual([paused.code, pause.by, pause.reason], [0, 'operator', 'why not']);
    assert.match((await overApi('list', '-o', 'json')).stdout, /"by": ?"operator"/);
    assert.match((await overApi('list')).stdout, /^unserved +paused /m);
    assert.match((await overApi('resume', 'unserved')).stderr, /^Queue unserved runs/);
    const refused = await overApi('pause', 'unserved', '--by', 'alice');
    assert.deepEqual(
      [refused.code, refused.stderr.includes("--by needs --redis: over the API, a pause is recorded under the token's name.")],
      [2, true],
    );
  });

  it('warns about the queue of the fleet, and does not know a queue without tasks and workers', async () => {
    const { code, stderr } = await run('pause', 'maintenance');
    assert.equal(code, 0);
    assert.match(stderr, /Warning: this is the fleet's own queue\. Until it is resumed, nothing is repaired after a crash/);
    await run('resume', 'maintenance');
    for (const call of [run, overApi]) {
      const unknown = await call('pause', 'none');
      assert.deepEqual([unknown.code, unknown.stderr.includes('No queue "none"')], [3, true]);
    }
  });
});
