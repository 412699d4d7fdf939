import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { TestDashboard } from '../../../dashboard/test-dashboard.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import type { CommandResult } from '../../../support/process/command.js';
import { runCli, startCli } from '../../../support/process/run-cli.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

for (const over of ['Redis', 'the API'] as const) {
  describe(`taskfleet task logs over ${over}`, () => {
    const task = new ScriptedTask('log.cli');
    let fleet: TestFleet;
    let producer: Producer;
    let dashboard: TestDashboard;
    let env: Record<string, string>;

    before(async () => {
      fleet = await TestFleet.start();
      const keyPrefix = fleet.newPrefix();
      producer = fleet.producer({ keyPrefix });
      await fleet.worker(keyPrefix, [task.handler]);
      dashboard = await TestDashboard.start(producer, { shutdownTimeoutMs: 100 });
      env =
        over === 'Redis'
          ? { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: keyPrefix }
          : { TASKFLEET_API: dashboard.url, TASKFLEET_TOKEN: dashboard.tokens.viewer, REDIS_URL: 'redis://127.0.0.1:1' };
    });
    after(async () => {
      await dashboard.stop();
      await fleet.stop();
    });

    const logs = (...args: string[]): Promise<CommandResult> => runCli(['task', 'logs', ...args], { env });
    const begin = async () => {
      const index = task.calls.length;
      const { id } = await producer.enqueue(task.definition, null);
      return { id, call: await task.call(index) };
    };
    const stored = (id: string, lines: number) =>
      until(
        () => producer.logPage(id, { after: lines - 1 }),
        (page) => page.lines.length > 0,
      );

    it('prints all kept lines, the last ones, or JSON', async () => {
      const { id, call } = await begin();
      assert.match((await logs(id)).stderr, /^Task .* has no log\.$/m);
      const { log } = call.context;
      log.info('first');
      log.warn({ part: 2, text: 'a\u001b[2Jb' }, 'second');
      log.error('third');
      await stored(id, 3);
      const { code, stdout, stderr } = await logs(id);
      assert.deepEqual([code, stderr], [0, '']);
      assert.deepEqual(
        stdout
          .trimEnd()
          .split('\n')
          .map((line) => line.replace(/^\S+Z /, '')),
        ['INFO [1] first', 'WARN [1] second {"part":2,"text":"a\\u001b[2Jb"}', 'ERROR [1] third'],
      );
      assert.equal((await logs(id, '-n', '2')).stdout, stdout.slice(stdout.indexOf('\n') + 1));
      const [, second = ''] = (await logs(id, '-o', 'json')).stdout.split('\n');
      const { at, ...rest } = JSON.parse(second) as Record<string, unknown>;
      assert.deepEqual(rest, { seq: 2, level: 'warn', attempt: 1, message: 'second', fields: { part: 2, text: 'a\u001b[2Jb' } });
      assert.match(String(at), /^\d{4}-/);
      call.returns();
      await producer.result(id);
    });

    it('says how many lines are no longer kept', async () => {
      const { id, call } = await begin();
      for (let n = 1; n <= 1_010; n += 1) call.context.log.info(`${n}`);
      call.returns();
      await producer.result(id);
      const { stdout, stderr } = await logs(id);
      assert.deepEqual([stdout.trimEnd().split('\n').length, stderr], [1_000, '(10 older lines are no longer kept)']);
    });

    it('follows a task until it ends', async () => {
      const { id, call } = await begin();
      for (const n of [1, 2, 3]) call.context.log.info(`line ${n}`);
      await stored(id, 3);
      const following = startCli(['task', 'logs', id, '--follow', '-n', '1'], { env });
      await following.waitForLine(/line 3$/);
      call.context.log.info('line 4');
      await following.waitForLine(/line 4$/);
      call.returns();
      assert.equal((await following.exit).code, 0);
      assert.deepEqual(
        following.stdout.lines.map((line) => line.replace(/^.*\] /, '')),
        ['line 3', 'line 4'],
      );
    });

    it('ends with code 3 if there is no such task', async () => {
      for (const args of [['nobody'], ['nobody', '--follow'], ['nobody', '-n', '5']])
        assert.equal((await logs(...args)).code, 3, args.join(' '));
    });
  });
}
