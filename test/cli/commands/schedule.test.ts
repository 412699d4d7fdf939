import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { CliFleet } from '../../support/fleet/cli-fleet.js';
import type { CommandResult } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { KEEP } from '../../support/task/keep.js';

const fail = defineTask({ name: 'test.fail', input: z.strictObject({}), retention: KEEP });
const BUILT_IN = ['models.refresh', 'registry.reconcile', 'session-pool.clean', 'usage-pool.clean'];

describe('taskfleet schedule', () => {
  let fleet: CliFleet;

  before(async () => {
    fleet = await CliFleet.start();
    const { schedules } = fleet.producer;
    await schedules.upsert(
      'nightly',
      fail,
      {},
      { cron: '30 3 * * *', timeZone: 'Europe/Berlin', jitter: 60_000, overlap: 'queue', item: 'a chat' },
    );
    await schedules.upsert('hourly', fail, {}, { every: 3_600_000 });
  });
  after(() => fleet.stop());

  const schedule = (...args: string[]): Promise<CommandResult> => runCli(['schedule', ...args], { env: fleet.env, cwd: fleet.folder });

  describe('list', () => {
    it('prints a table of all schedules, including the built-in ones', async () => {
      const { code, stdout, stderr } = await schedule('list');
      assert.deepEqual([code, stderr], [0, '']);
      const [header = '', ...lines] = stdout.split('\n');
      assert.match(header, /^ID +TASK +DUE +NEXT +OVERLAP +RUNNING +ITEM$/);
      assert.deepEqual(
        lines.map((line) => line.split(' ')[0]),
        ['hourly', ...BUILT_IN.slice(0, 1), 'nightly', ...BUILT_IN.slice(1)],
      );
      assert.match(lines[0] ?? '', /^hourly +test\.fail +every 1h +\S+ +skip +- +-$/);
      assert.match(lines[2] ?? '', /^nightly +test\.fail +30 3 \* \* \* Europe\/Berlin \+ up to 1m +\S+ +queue +- +a chat$/);
      assert.match(lines[3] ?? '', /^registry\.reconcile +\(built-in\) +every 10s +/);
    });

    it('prints an array as JSON', async () => {
      const { code, stdout } = await schedule('list', '-o', 'json');
      const schedules = JSON.parse(stdout) as Record<string, unknown>[];
      assert.equal(code, 0);
      const nightly = schedules.find(({ id }) => id === 'nightly');
      assert.deepEqual(
        { ...nightly, next_at: null },
        {
          ...{
            id: 'nightly',
            name: 'test.fail',
            queue: 'test',
            item: 'a chat',
            every_ms: null,
            cron: '30 3 * * *',
            time_zone: 'Europe/Berlin',
            jitter_ms: 60_000,
          },
          ...{ overlap: 'queue', built_in: false, next_at: null, last_task: null, running: false, paused: null, problem: null },
        },
      );
      assert.deepEqual(
        schedules.filter((one) => one['built_in']).map(({ id }) => id),
        BUILT_IN,
      );
    });
  });

  describe('run', () => {
    it('enqueues a task and prints it as a line that starts with its id', async () => {
      const { code, stdout } = await schedule('run', 'registry.reconcile');
      assert.equal(code, 0);
      assert.match(stdout, /^[0-9a-f-]{36} {2}registry\.reconcile {2}/);
    });

    it('with --wait, exits with the code of the final state', async () => {
      const { code, stdout } = await schedule('run', 'hourly', '--wait', '-o', 'json');
      const { state, error } = JSON.parse(stdout) as { state: string; error: string };
      assert.deepEqual([code, state], [1, 'failed']);
      assert.match(error, /this never works/);
    });

    it('exits with code 3 for an unknown schedule', async () => {
      assert.deepEqual(await schedule('run', '__proto__'), { code: 3, stdout: '', stderr: 'taskfleet: No schedule "__proto__".' });
    });
  });

  describe('remove', () => {
    it('removes a schedule, once', async () => {
      await fleet.producer.schedules.upsert('goes', fail, {}, { every: 3_600_000 });
      const first = await schedule('remove', 'goes');
      const second = await schedule('remove', 'goes', '-o', 'json');
      assert.deepEqual([first.code, first.stderr, second.code], [0, 'Removed schedule goes.', 3]);
      assert.deepEqual(JSON.parse(second.stderr), { error: { code: 'SCHEDULE_NOT_FOUND', message: 'No schedule "goes".' } });
    });

    it('refuses built-in schedules with exit code 2', async () => {
      const { code, stderr } = await schedule('remove', 'usage-pool.clean');
      assert.equal(code, 2);
      assert.match(stderr, /is built-in; change it with the fleet's settings/);
    });
  });
});
