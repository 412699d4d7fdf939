import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { ApiConnection } from '../../cli/client/http-connection.js';
import { ApiClient } from '../../cli/client/http.js';
import { describeError } from '../../cli/errors.js';
import { entryOf } from '../../dashboard/auth/tokens.js';
import { type Producer, type ScheduleView, receiptToJson, scheduleToJson, taskToJson } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { fleetCanary } from '../../worker/builtin/definitions.js';
import { serve } from '../dashboard/serve-dashboard.js';
import { TestDashboard, type Who } from '../dashboard/test-dashboard.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import type { CommandResult } from '../support/process/command.js';
import { ownPort } from '../support/process/ports.js';
import { runCli, startCli } from '../support/process/run-cli.js';
import { ScriptedTask } from '../support/task/scripted-task.js';

const HOUR_MS = 3_600_000;

describe('the command over the API', () => {
  const talk = new ScriptedTask('test.talk');
  const broken = new ScriptedTask('test.broken');
  let fleet: TestFleet;
  let producer: Producer;
  let prefix: string;
  let dashboard: TestDashboard;
  const printed: string[] = [];

  before(async () => {
    fleet = await TestFleet.start();
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await fleet.worker(prefix, [talk.handler, broken.handler]);
    // A test starts it again, at the same port.
    dashboard = await startDashboard({ apiPort: await ownPort() });
    void broken.call().then((call) => call.throws(new Error('this never works')));
  });
  after(async () => {
    await dashboard.stop();
    await fleet.stop();
  });

  function startDashboard(settings: Parameters<typeof TestDashboard.start>[1] = {}): Promise<TestDashboard> {
    return TestDashboard.start(producer, { shutdownTimeoutMs: 100, ...settings }, { definitions: [talk.definition, broken.definition] });
  }

  const env = (who: Who): Record<string, string> => ({
    TASKFLEET_API: dashboard.url,
    TASKFLEET_TOKEN: dashboard.tokens[who],
    REDIS_URL: 'redis://127.0.0.1:1',
  });
  const client = (who: Who, url = dashboard.url): ApiClient => new ApiClient(new ApiConnection({ url, token: dashboard.tokens[who] }));

  async function over(given: Readonly<Record<string, string>>, args: readonly string[]): Promise<CommandResult> {
    const result = await runCli(args, { env: given });
    printed.push(result.stdout, result.stderr);
    return result;
  }
  const overApi = (who: Who, ...args: string[]): Promise<CommandResult> => over(env(who), args);
  const overRedis = (...args: string[]): Promise<CommandResult> => over({ REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: prefix }, args);

  /** Returns the error of a call, as the command reports it. */
  async function failure(call: Promise<unknown>): Promise<{ exitCode: number; code: string; message: string }> {
    const error: unknown = await call.then(
      () => assert.fail('it did not fail'),
      (reason: unknown) => reason,
    );
    printed.push(describeError(error, { json: false, debug: true }).text);
    const { exitCode, text } = describeError(error, { json: true, debug: false });
    return { exitCode, ...(JSON.parse(text) as { error: { code: string; message: string } }).error };
  }

  it('prints the same bytes as over Redis', async () => {
    for (const id of ['list-1', 'list-2', 'gone']) await producer.enqueue(fleetCanary, {}, { id, item: 'room', delay: HOUR_MS });
    await producer.stop('gone', { reason: 'enough', by: 'ada' });
    await producer.enqueue(fleetCanary, { run_ms: 0 }, { id: 'done' });
    await producer.result('done');
    await producer.schedules.upsert(
      'nightly',
      fleetCanary,
      { run_ms: 0 },
      { cron: '30 3 * * *', timeZone: 'Europe/Berlin', jitter: 60_000, overlap: 'queue', item: 'a chat' },
    );
    for (const args of [
      ['list', '--item', 'room'],
      ['stop', 'gone', 'done', 'nobody'],
    ]) {
      const [api, redis] = await Promise.all([
        overApi('operator', 'task', ...args, '-o', 'json'),
        overRedis('task', ...args, '-o', 'json'),
      ]);
      assert.deepEqual(api, redis);
      assert.ok(api.stdout.length > 200, api.stdout + api.stderr);
    }
    // These commands print the client's results as JSON.
    const viewer = client('viewer');
    const shown = JSON.stringify(taskToJson((await viewer.get('gone')) ?? assert.fail()));
    assert.match(shown, /"reason":"enough","by":"ada"/);
    assert.equal(shown, JSON.stringify(taskToJson((await producer.get('gone')) ?? assert.fail())));
    const dryRun = await client('operator').stopItem('room', { dryRun: true });
    assert.equal(
      JSON.stringify(dryRun.map(receiptToJson)),
      JSON.stringify((await producer.stopItem('room', { dryRun: true })).map(receiptToJson)),
    );
    // Built-in schedules are due every few seconds.
    const nightly = (schedules: readonly ScheduleView[]): string =>
      JSON.stringify(schedules.filter(({ builtIn }) => !builtIn).map(scheduleToJson));
    assert.equal(nightly(await viewer.schedules.list()), nightly(await producer.schedules.list()));
  });

  it('enqueues one task for a deduplication key', async () => {
    const dedupe = ['--dedupe-key', 'k', '--dedupe-mode', 'throttle', '--dedupe-within', '60000'];
    const add = (...args: string[]) =>
      overApi('submitter', 'task', 'enqueue', 'fleet.canary', '--delay', `${HOUR_MS}`, '--tag', 'a', '--tag', 'b', ...args);
    const [first, second] = [await add(...dedupe, '-o', 'json'), await add(...dedupe)];
    const { id, dedupe_key: key } = JSON.parse(first.stdout) as Record<'id' | 'dedupe_key', string>;
    assert.deepEqual([first.code, second.code, key], [0, 0, 'k']);
    assert.ok(second.stderr.includes(`Task ${id} already exists (scheduled); nothing was added.`), second.stderr);
    const shown = (await overApi('viewer', 'task', 'show', id)).stdout;
    assert.deepEqual([/^dedupe {4}k$/m.test(shown), /^tags {6}a, b$/m.test(shown)], [true, true]);
    const keyless = await add('--dedupe-mode', 'while-live');
    assert.deepEqual([keyless.code, /need --dedupe-key/.test(keyless.stderr)], [2, true]);
    await producer.stop(id);
  });

  it('enqueues tasks that the dashboard knows, and with --wait exits with the code of the final state', async () => {
    const [done, failed] = await Promise.all([
      overApi('submitter', 'task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":1}', '--wait', '-o', 'json'),
      overApi('submitter', 'task', 'enqueue', 'test.broken', '--wait'),
    ]);
    const { id, state } = JSON.parse(done.stdout) as { id: string; state: string };
    assert.deepEqual([done.code, state, failed.code], [0, 'completed', 1]);
    assert.equal(JSON.stringify(taskToJson((await client('viewer').get(id)) ?? assert.fail())), done.stdout);
    assert.match(failed.stdout, /^error {5}this never works$/m);
    assert.match(failed.stdout, /^attempts\n#1 failed after .*\n {5}Error: this never works\s*$/m, 'without a stack trace for a submitter');
    const failedId = /^id {8}(\S+)$/m.exec(failed.stdout)?.[1] ?? '';
    const error: unknown = await client('viewer')
      .result(failedId)
      .catch((reason: unknown) => reason);
    assert.ok(isFleetError(error, 'TASK_FAILED') && error.cause instanceof Error);
    assert.deepEqual([error.cause.message, error.details['attempts']], ['this never works', 1]);
  });

  it('resumes watching after a restart of the dashboard: each event once, then the end', async () => {
    await producer.enqueue(talk.definition, {}, { id: 'watched' });
    const call = await talk.call();
    const { context } = call;
    void call.aborted.then((cause) => call.throws(cause));
    const watch = startCli(['task', 'watch', 'watched'], { env: env('viewer') });
    context.emit('one\n');
    await watch.waitForLine(/^one$/);
    const { port, tokens } = dashboard;
    await dashboard.stop();
    context.emit('two\n');
    await refuseOne(port);
    const apiTokens = (['viewer', 'operator', 'submitter'] as const).map((role) =>
      entryOf(tokens[role], { name: role, role, items: null }),
    );
    const restarted = await startDashboard({ apiPort: port, apiTokens });
    dashboard = Object.assign(restarted, { tokens });
    await watch.waitForLine(/^two$/);
    context.emit('three\n');
    await watch.waitForLine(/^three$/);
    const [receipt] = await client('operator').stop(['watched'], { reason: 'enough', waitMs: 60_000 });
    assert.deepEqual([receipt?.outcome, receipt?.by, receipt?.reason], ['cancelled', 'operator', 'enough']);
    assert.equal((await watch.exit).code, 4);
    printed.push(watch.stdout.text, watch.stderr.text);
    assert.deepEqual(
      watch.stdout.lines.filter((line) => line !== 'state stopping'),
      ['state queued', 'state running', 'one', 'two', 'three', 'state cancelled'],
    );
    assert.match(watch.stderr.text, /■ cancelled by operator: enough \(via signal, /);
  });

  it("yields the producer's events, from any of them on", async () => {
    const all = await collect(client('viewer').events('watched'));
    assert.deepEqual(all, await collect(producer.events('watched')));
    const from = { after: all.find(({ type }) => type === 'chunk')?.id ?? assert.fail() };
    assert.deepEqual(await collect(client('viewer').events('watched', from)), await collect(producer.events('watched', from)));
    assert.deepEqual(await failure(client('viewer').result('watched')), {
      exitCode: 4,
      code: 'TASK_CANCELLED',
      message: 'Task watched was stopped by operator: enough',
    });
  });

  it("waits for a stop longer than the API's limit", async () => {
    await producer.enqueue(talk.definition, {}, { id: 'slow' });
    const call = await talk.call(1);
    const impatient = new ApiClient(new ApiConnection({ url: dashboard.url, token: dashboard.tokens.operator }), 0);
    const settled = impatient.stop(['slow'], { waitMs: 60_000 });
    call.throws(await call.aborted);
    assert.deepEqual(
      (await settled).map(({ outcome, by }) => [outcome, by]),
      [['cancelled', 'operator']],
    );
  });

  it('retries several tasks, or none if one cannot be retried', async () => {
    const operator = client('operator');
    await producer.enqueue(fleetCanary, {}, { id: 'again', delay: HOUR_MS });
    await operator.stop(['again'], {});
    assert.deepEqual(await failure(operator.retry(['again', 'done'])), await failure(producer.retry(['again', 'done'])));
    assert.deepEqual(await failure(operator.retry(['again', 'nobody'])), await failure(producer.retry(['again', 'nobody'])));
    assert.equal((await producer.get('again'))?.state, 'cancelled');
    assert.deepEqual(
      (await operator.retry(['again'])).map(({ id, stop }) => [id, stop]),
      [['again', null]],
    );
  });

  it('stops an item, runs and removes schedules', async () => {
    const operator = client('operator');
    const receipts = await operator.stopItem('room', { reason: 'closed', waitMs: 60_000 });
    assert.deepEqual(
      receipts.map(({ id, outcome, by }) => `${id} ${outcome} by ${by}`).toSorted((a, b) => (a < b ? -1 : 1)),
      ['list-1 cancelled by operator', 'list-2 cancelled by operator'],
    );
    const { id, name } = await operator.schedules.runNow('nightly');
    assert.equal(name, 'fleet.canary');
    await producer.waitUntilFinished(id);
    assert.deepEqual([await operator.schedules.remove('nightly'), await operator.schedules.remove('nightly')], [true, false]);
    assert.deepEqual(await failure(operator.schedules.runNow('nightly')), await failure(producer.schedules.runNow('nightly')));
  });

  it('creates billing plans, and refuses to list them', async () => {
    const { code, stdout } = await overApi('submitter', 'billing', 'init-plans', '-o', 'json');
    assert.equal(code, 0, stdout);
    assert.equal((JSON.parse(stdout) as { created: number }).created, (await producer.billing.plans()).plans.length);
    assert.equal((await failure(client('viewer').plans())).exitCode, 2);
  });

  it('runs the doctor, which lists the checks that need Redis', async () => {
    const { code, stdout } = await overApi('operator', 'doctor', '--canary');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^API at http:\/\/127\.0\.0\.1:\d+\nok {4}api /);
    for (const name of ['redis', 'eviction', 'worker', 'stop path', 'reconciler', 'not checked', 'canary start', 'canary stop'])
      assert.match(stdout, new RegExp(`^ok {4}${name} `, 'm'));
  });

  it('has an exit code and a message for each refusal', async () => {
    const nobody = new ApiClient(new ApiConnection({ url: dashboard.url, token: 'a-token-that-nobody-gave' }));
    const unknown = await failure(nobody.list({}));
    assert.deepEqual([unknown.exitCode, unknown.code], [77, 'UNAUTHENTICATED']);
    assert.match(unknown.message, /Invalid or expired token.* Set TASKFLEET_TOKEN/);
    assert.doesNotMatch(unknown.message, /nobody-gave/);
    const { code, stderr } = await over({ GLOBAL_LOG_LEVEL: 'debug' }, [
      'task',
      'stop',
      'done',
      '--api',
      dashboard.url,
      '--token',
      dashboard.tokens.viewer,
    ]);
    assert.equal(code, 77);
    assert.match(stderr, /^taskfleet: Requires the role submitter; viewer has the role viewer\./);
    const name = await failure(client('operator').enqueue('no.such', {}));
    assert.deepEqual([name.exitCode, name.code], [2, 'UNKNOWN_TASK']);
    const input = await failure(client('operator').enqueue('fleet.canary', { run_ms: 'soon' }));
    assert.deepEqual(input, await failure(producer.enqueue(fleetCanary, { run_ms: 'soon' } as never)));
    assert.deepEqual(await failure(client('viewer').get('a\0b')), await failure(producer.get('a\0b')));
    assert.deepEqual(await failure(client('viewer').result('nobody')), await failure(producer.result('nobody')));
  });

  it('exits with code 69 if the URL has no API', async () => {
    const closed = await serve(() => undefined);
    await closed.close();
    const away = await overApiAt(`http://127.0.0.1:${closed.port}`);
    assert.deepEqual([away.exitCode, away.code], [69, 'API_UNREACHABLE']);
    assert.match(away.message, /^Cannot reach the API at http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED\.$/);
    const answers: readonly [status: number, type: string, body: string, code: string, message: RegExp][] = [
      [200, 'text/html', '<p>hello', 'NOT_AN_API', /does not answer with JSON/],
      [200, 'application/json', '{}', 'NOT_AN_API', /its JSON has an unexpected shape/],
      [404, 'text/plain', 'no', 'NOT_AN_API', /answers 404/],
      [302, 'text/plain', '', 'NOT_AN_API', /redirects \(302\)/],
      [502, 'text/html', 'bad gateway', 'API_UNREACHABLE', /a proxy in front of it answered 502/],
      [
        503,
        'application/problem+json',
        '{"code":"REDIS_UNAVAILABLE","detail":"Redis cannot be reached."}',
        'REDIS_UNAVAILABLE',
        /^Redis cannot be reached\.$/,
      ],
    ];
    let answer = answers[0];
    const other = await serve(
      (_req, res) => void res.writeHead(answer?.[0] ?? 500, { 'Content-Type': answer?.[1] ?? '', Location: '/elsewhere' }).end(answer?.[2]),
    );
    for (answer of answers) {
      const { exitCode, code, message } = await overApiAt(`http://127.0.0.1:${other.port}`);
      assert.deepEqual([exitCode, code], [69, answer[3]]);
      assert.match(message, answer[4]);
    }
    const tls = await overApiAt(`https://127.0.0.1:${other.port}`);
    assert.equal(tls.exitCode, 69);
    assert.match(tls.message, /TLS failed/);
    await other.close();
  });

  const overApiAt = (url: string): ReturnType<typeof failure> => failure(client('viewer', url).list({}));

  it('printed no token in any of these tests', () => {
    assert.ok(printed.length > 30);
    for (const token of Object.values(dashboard.tokens)) assert.ok(!printed.join('\n').includes(token));
  });
});

/** Answers like a proxy in front of a dashboard that is down, until the first request. */
async function refuseOne(port: number): Promise<void> {
  const proxy = createServer((_req, res) => void res.writeHead(502, { Connection: 'close' }).end()).listen(port, '127.0.0.1');
  await once(proxy, 'request');
  proxy.close();
  await once(proxy, 'close');
}

async function collect<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = [];
  for await (const value of values) all.push(value);
  return all;
}
