import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SCENARIO_MODULE, handlerBegins, startWorker } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type CommandResult, runCommand, startCommand } from '../../support/process/command.js';
import type { NodeProcess } from '../../support/process/processes.js';

const keyPrefix = 'view';
const CANARY = ['task', 'enqueue', 'fleet.canary', '--input', '{"mode":"cooperative","run_ms":0}', '-o', 'json'];

/** Commands that only the dashboard sends. */
describe('A dashboard process beside a worker', () => {
  let fleet: TestFleet;
  let worker: NodeProcess;
  let dashboard: NodeProcess;
  let url: string;

  before(async () => {
    fleet = await TestFleet.start();
    const { redisUrl, cluster } = fleet.settings;
    const env = { REDIS_URL: redisUrl, REDIS_CLUSTER: String(cluster), REDIS_KEY_PREFIX: keyPrefix, TASK_MODULES: SCENARIO_MODULE };
    dashboard = startCommand(['dashboard', '--port', '0'], { env });
    worker = await startWorker(fleet.redis, keyPrefix);
    const { groups } = await dashboard.waitForLine(/"url":"(?<url>http:\/\/127\.0\.0\.1:\d+)".*Dashboard listening/);
    url = groups?.['url'] ?? '';
  });
  after(async () => {
    await Promise.all([dashboard.stop(), worker.stop()]);
    await fleet.stop();
  });

  const overApi = (args: readonly string[]): Promise<CommandResult> => runCommand(['--api', url, ...args]);
  const page = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(url + path);
    return { status: response.status, text: await response.text() };
  };

  it('adds, follows, lists and stops tasks and items', async () => {
    const finished = await overApi([...CANARY, '--wait']);
    assert.equal(finished.code, 0, finished.stderr);
    assert.equal((JSON.parse(finished.stdout) as { state: string }).state, 'completed');

    const producer = fleet.producer({ keyPrefix });
    const enqueue = ['task', 'enqueue', 'scenario.task', '--input', '{"ms":600000}', '--item', 'chat-1', '-o', 'json'];
    const added = await Promise.all([1, 2, 3].map(() => overApi(enqueue)));
    assert.deepEqual(
      added.map(({ code }) => code),
      [0, 0, 0],
      added[0]?.stderr,
    );
    const ids = added.map(({ stdout }) => (JSON.parse(stdout) as { id: string }).id);
    for (const id of ids) await handlerBegins([worker], id);
    const [listed, watched, stopped] = await Promise.all([
      overApi(['task', 'list', '--item', 'chat-1', '-o', 'json']),
      overApi(['task', 'watch', ids[0] as string, '-o', 'json']),
      handlerBegins([worker], ids[0] as string).then(() => overApi(['task', 'stop', '--item', 'chat-1', '--wait', '60000', '-o', 'json'])),
    ]);
    assert.equal(listed.code, 0, listed.stderr);
    assert.equal(watched.code, 4, watched.stderr);
    assert.deepEqual(
      (JSON.parse(stopped.stdout) as { outcome: string }[]).map(({ outcome }) => outcome),
      ['cancelled', 'cancelled', 'cancelled'],
    );
    assert.equal((await producer.get(ids[0] as string))?.state, 'cancelled');
  });

  it('serves its pages, its metrics and the board', async () => {
    const [ready, metrics, queues, stats] = await Promise.all([
      page('/readyz'),
      page('/metrics'),
      page('/board/api/queues'),
      page('/api/v1/workers'),
    ]);
    assert.deepEqual(
      [ready, metrics, queues, stats].map(({ status }) => status),
      [200, 200, 200, 200],
      JSON.stringify([ready, queues]),
    );
    assert.match(metrics.text, /^taskfleet_tasks_finished_total\{.*"fleet\.canary",outcome="completed"\} 1$/m);
    assert.ok(queues.text.includes('"name":"scenario"'));
    assert.ok(stats.text.includes(`-${worker.pid}-`));
  });
});
