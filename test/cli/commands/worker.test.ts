import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TestDashboard } from '../../dashboard/test-dashboard.js';
import { CliFleet } from '../../support/fleet/cli-fleet.js';
import type { CommandResult } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { until } from '../../support/until.js';

describe('taskfleet worker', () => {
  let fleet: CliFleet;
  let dashboard: TestDashboard;
  let id: string;

  before(async () => {
    fleet = await CliFleet.start();
    dashboard = await TestDashboard.start(fleet.producer);
    const [worker] = await fleet.producer.workers.list();
    id = worker?.id ?? '';
  });
  after(async () => {
    await dashboard.stop();
    await fleet.stop();
  });

  const run = (...args: string[]): Promise<CommandResult> => runCli(['worker', ...args], { env: fleet.env, cwd: fleet.folder });
  const overApi = (...args: string[]): Promise<CommandResult> =>
    runCli(['worker', ...args], { env: { TASKFLEET_API: dashboard.url, TASKFLEET_TOKEN: dashboard.tokens.operator }, cwd: fleet.folder });
  const stateOf = async (): Promise<string | undefined> =>
    /^\S+ +(\S+)/.exec((await run('list', '--columns', 'id,state')).stdout.split('\n')[1] ?? '')?.[1];

  it('lists workers as a table and as JSON, the same over Redis and the API', async () => {
    const table = await run('list');
    assert.deepEqual([table.code, table.stderr], [0, '']);
    const [header = '', line = ''] = table.stdout.split('\n');
    assert.match(header, /^ID +STATE +BUSY +QUEUES +MEMORY +DELAY +VERSION +UP +BEAT$/);
    assert.match(
      line,
      new RegExp(`^${id} +up +0/\\d+ +chat,documents,fleet,\\S*maintenance +\\d+ MB +\\S+ ms +0\\.1\\.0 +\\d+s +\\d+s ago$`),
    );
    for (const one of [run, overApi]) {
      const [worker] = JSON.parse((await one('list', '-o', 'json')).stdout) as Record<string, unknown>[];
      assert.deepEqual(
        [worker?.['id'], worker?.['alive'], worker?.['fetching'], worker?.['node'], worker?.['drained'], worker?.['last_words']],
        [id, true, true, process.version, null, null],
      );
      assert.ok(Number(worker?.['memory_bytes']) > 1_000_000 && Number(worker?.['heap_bytes']) > 1_000_000);
      assert.ok(Number(worker?.['definitions']) > 5 && Number(worker?.['loop_delay_ms']) >= 0);
    }
  });

  it('drains a worker, waits until it runs nothing, shows who drained it, and resumes it', async () => {
    const drained = await run('drain', id, '--reason', 'new kernel', '--by', 'ada', '--wait', '30000');
    assert.deepEqual([drained.code, drained.stderr], [0, `Drained worker ${id}: no tasks run on it. Undo: taskfleet worker resume ${id}`]);
    assert.equal(await stateOf(), 'drained');
    const { stdout } = await run('list', '--columns', 'id,state,drained_by,reason');
    assert.match(stdout, new RegExp(`^${id} +drained +ada +new kernel$`, 'm'));
    const doctor = await runCli(['doctor'], { env: fleet.env, cwd: fleet.folder });
    assert.match(doctor.stdout, /drained by ada \(new kernel\)/);
    assert.match(doctor.stdout, /^warn +takers +no worker takes queue maintenance/m);
    assert.deepEqual(await run('resume', id).then(({ code, stderr }) => [code, stderr]), [0, `Resumed worker ${id}.`]);
    await until(stateOf, (state) => state === 'up');
  });

  it("drains and resumes over the API, under the token's name", async () => {
    const { code, stdout } = await overApi('drain', id, '-o', 'json', '--wait', '30000');
    const { drained, fetching } = JSON.parse(stdout) as { drained: { by: string; reason: null }; fetching: boolean };
    assert.deepEqual([code, drained.by, drained.reason, fetching], [0, 'operator', null, false]);
    const refused = await overApi('drain', id, '--by', 'ada');
    assert.deepEqual([refused.code, /--by needs --redis/.test(refused.stderr)], [2, true]);
    assert.equal((await overApi('resume', id)).code, 0);
    await until(stateOf, (state) => state === 'up');
  });

  it('ends with 3 for an unknown worker, naming the live ones', async () => {
    for (const one of [run, overApi])
      for (const act of ['drain', 'resume']) {
        const { code, stderr } = await one(act, 'nobody-1');
        assert.deepEqual([code, stderr], [3, `taskfleet: Worker "nobody-1" does not exist. Live workers: ${id}.`]);
      }
  });

  it('refuses settings that leave no queue or cannot be read, with 78', async () => {
    for (const [env, pattern] of [
      [
        { WORKER_QUEUES: 'chta' },
        /WORKER_QUEUES: expected patterns that leave at least one of this worker's queues \(chat, .*maintenance.*\), got "chta"/,
      ],
      [{ WORKER_QUEUES: 'chat reports' }, /WORKER_QUEUES: expected queue names separated by commas, .* got "chat reports"/],
      [{ BUILTIN_TASKS: 'on,chat/*' }, /BUILTIN_TASKS: expected on, off, or task names separated by commas, .* got "on,chat\/\*"/],
    ] as const) {
      const { code, stderr } = await runCli(['worker'], { env: { ...fleet.env, ...env }, cwd: fleet.folder });
      assert.equal(code, 78);
      assert.match(stderr, pattern);
    }
  });
});
