import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { TestDashboard, type Who } from '../../../dashboard/test-dashboard.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { type CliRun, runCli, startCli } from '../../../support/process/run-cli.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const fleet = await TestFleet.start();
const task = new ScriptedTask('invoice.send');
let prefix: string;
let producer: Producer;
let dashboard: TestDashboard;

beforeEach(async () => {
  prefix = fleet.newPrefix();
  producer = fleet.producer({ keyPrefix: prefix });
  dashboard = await TestDashboard.start(producer, { shutdownTimeoutMs: 100 });
});
afterEach(() => dashboard.stop());
after(() => fleet.stop());

const overRedis = (): Record<string, string> => ({ REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: prefix });
const overApi = (who: Who): Record<string, string> => ({ TASKFLEET_API: dashboard.url, TASKFLEET_TOKEN: dashboard.tokens[who] });
const run = (env: Record<string, string>, ...args: string[]) => runCli(['task', ...args], { env });
const inState = async (state: 'queued' | 'cancelled'): Promise<number> => (await producer.count({ state, name: 'invoice.send' })).count;

/** Returns the lines but for the notice of a bulk whose worker is busy. */
const noticesIn = (stderr: string): string[] =>
  stderr.split('\n').filter((line) => line !== '' && !/^Bulk \S+ waits for a worker\.$/.test(line));

async function add(many: number, tag: string): Promise<string[]> {
  const tasks = Array.from({ length: many }, () => ({ input: 1, tags: [tag], item: 'alice:1' }));
  return (await producer.enqueueMany(task.definition, tasks)).map(({ id }) => id);
}

interface Result {
  readonly matched: number;
  readonly outcomes: Record<string, number>;
  readonly receipts: { readonly id: string; readonly outcome: string }[];
}

test('stop and retry by a filter, over Redis and over the API, with receipts as JSON', async () => {
  await fleet.worker(prefix, []);
  for (const [tag, env] of [
    ['tenant:7', overRedis()],
    ['tenant:8', overApi('operator')],
  ] as const) {
    const ids = await add(12, tag);
    const others = await add(3, 'other');
    const preview = await run(env, 'stop', '--tag', tag, '--dry-run');
    assert.deepEqual([preview.code, preview.stdout.split('\n')[0]], [0, '12 tasks would be stopped:'], preview.stderr);
    assert.match(preview.stdout, /\n {2}\S+ {2}invoice\.send {2}queued {2}item alice:1\n.*… and 2 more$/s);
    const stopped = await run(env, 'stop', '--tag', tag, '--name', 'invoice.*', '--reason', 'left', '--yes', '-o', 'json');
    const { matched, outcomes, receipts } = JSON.parse(stopped.stdout) as Result;
    assert.deepEqual([stopped.code, noticesIn(stopped.stderr), matched, outcomes['cancelled']], [0, [], 12, 12]);
    assert.deepEqual(receipts.map(({ id }) => id).toSorted(), ids.toSorted());
    assert.equal((await producer.get(ids[0] ?? ''))?.stop?.reason, 'left');
    const retried = await run(env, 'retry', '--state', 'cancelled', '--tag', tag, '--yes');
    assert.deepEqual([retried.code, retried.stdout, noticesIn(retried.stderr)], [0, '12 tasks: 12 retried', []]);
    const again = await run(env, 'retry', '--state', 'cancelled', '--tag', tag, '--yes', '-o', 'json');
    assert.deepEqual(JSON.parse(again.stdout), { matched: 0, outcomes: { retried: 0, not_retryable: 0, not_found: 0 }, receipts: [] });
    assert.equal((await run(env, 'stop', '--tag', 'nobody', '--yes')).stdout, 'No tasks match.');
    assert.equal((await producer.get(others[0] ?? ''))?.state, 'queued');
    await producer.stop([...ids, ...others]);
  }
});

test('asks on a terminal, and needs --yes without one', async () => {
  await add(2, 'x');
  const refused = await run(overRedis(), 'stop', '--tag', 'x');
  assert.deepEqual([refused.code, /needs --yes/.test(refused.stderr)], [2, true]);
  const ask = (answer: string) => runCli(['task', 'stop', '--tag', 'x'], { env: overRedis(), terminal: true, stdin: answer });
  for (const answer of ['n\n', '\n', 'yellow\n', '']) {
    const { code, stderr } = await ask(answer);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /2 tasks would be stopped:.*Stop 2 tasks\? \[y\/N\] .*Nothing was done\./s);
  }
  assert.equal(await inState('queued'), 2);
  assert.match((await ask('y\n')).stdout, /2 tasks: 2 cancelled/);
  assert.equal(await inState('cancelled'), 2);
  assert.match((await ask('y\n')).stderr, /No tasks match\./);
});

test('refuses ids with a filter, nothing at all, and every task without --all', async () => {
  await add(2, 'x');
  for (const [args, problem] of [
    [['stop'], /Pass either task ids, --item or another filter/],
    [['stop', 'a', '--tag', 'x'], /Pass either/],
    [['retry', 'a', '--all'], /Pass either/],
    [['retry', 'a', '--dry-run'], /needs a filter/],
    [['stop', '--state', 'live', '--yes'], /would stop every live task; pass all/],
    [['stop', '--state', 'failed', '--tag', 'x', '--yes'], /Bad state: expected states of live tasks, got failed/],
    [['retry', '--state', 'queued', '--tag', 'x', '--yes'], /Bad state/],
    [['stop', '--older-than', 'ages', '--yes'], /expected a duration/],
  ] as const) {
    const { code, stderr } = await run(overRedis(), ...args);
    assert.deepEqual([code, problem.test(stderr)], [2, true], `${args.join(' ')}: ${stderr}`);
  }
  // The live tasks of one item are stopped without a question, as ever.
  assert.match((await run(overRedis(), 'stop', '--item', 'alice:1')).stdout, /cancelled via queue.*\n.*cancelled via queue/);
  await add(2, 'x');
  assert.equal((await run(overRedis(), 'stop', '--all', '--yes')).stdout, '2 tasks: 2 cancelled');
  await add(1, 'x');
  assert.equal((await run(overRedis(), 'stop', '--item', 'alice:*', '--yes')).stdout, '1 task: 1 cancelled');
});

test('over the API, permissions are those of single tasks', async () => {
  await fleet.worker(prefix, []);
  await add(2, 'x');
  await producer.enqueue(task.definition, 1, { tags: ['x'], item: 'bob:1' });
  const refused = await run(overApi('submitter'), 'stop', '--tag', 'x', '--yes');
  assert.deepEqual([refused.code, /Requires the role operator/.test(refused.stderr)], [77, true], refused.stderr);
  assert.equal((await run(overApi('viewer'), 'stop', '--tag', 'x', '--dry-run')).code, 77);
  assert.equal((await run(overApi('alice-submitter'), 'retry', '--tag', 'x', '--yes')).code, 77);
  assert.equal((await run(overApi('alice-submitter'), 'stop', '--tag', 'x', '--yes')).stdout, '2 tasks: 2 cancelled');
  assert.equal(await inState('queued'), 1, "bob's");
});

test('Ctrl+C says what was done and how to go on', async () => {
  await add(1_600, 'many');
  const interrupted = async (command: CliRun): Promise<string> => {
    const { code } = await command.exit;
    assert.equal(code, 130, command.stderr.text);
    return command.stderr.text;
  };
  const stopping = startCli(['task', 'stop', '--tag', 'many', '--yes'], { env: overRedis() });
  await until(
    () => inState('cancelled'),
    (count) => count > 0,
  );
  stopping.kill('SIGINT');
  const notice = /Interrupted\. Done: ([\d,]+) of 1,600 tasks \(\1 cancelled\)\. Repeat the command/.exec(await interrupted(stopping));
  const done = Number(notice?.[1]?.replaceAll(',', ''));
  assert.deepEqual([done > 0 && done < 1_600, await inState('cancelled')], [true, done]);
  // Without a worker, the bulk of the API waits, and goes on without the command.
  const waiting = startCli(['task', 'stop', '--tag', 'many', '--yes'], { env: overApi('operator') });
  await until(
    () => producer.list({ queue: 'maintenance' }),
    ({ tasks }) => tasks.length === 1,
  );
  waiting.kill('SIGINT');
  const text = await interrupted(waiting);
  const [, id = ''] = /the bulk goes on\. .*taskfleet task stop (bulk\.\S+)/.exec(text) ?? [];
  assert.ok(id, text);
  await fleet.worker(prefix, []);
  assert.equal((await producer.result<{ matched: number }>(id)).matched, 1_600 - done);
  assert.equal(await inState('cancelled'), 1_600);
});

test('a bulk of the API that is stopped ends the command with its counts', async () => {
  await add(1, 'x');
  const following = startCli(['task', 'stop', '--tag', 'x', '--yes'], { env: overApi('operator') });
  const { tasks } = await until(
    () => producer.list({ queue: 'maintenance' }),
    (page) => page.tasks.length === 1,
  );
  await producer.stop(tasks[0]?.id ?? '');
  assert.deepEqual((await following.exit).code, 4);
  assert.match(following.stderr.text, /The stop was itself stopped: 0 of 0 tasks done\. Repeat it/);
});
