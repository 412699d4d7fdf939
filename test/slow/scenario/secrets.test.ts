import assert from 'node:assert/strict';
import { type TestContext, after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { chatCompletion, modelsRefresh } from '../../../worker/builtin/definitions.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { upstream } from '../../support/network/upstream.js';
import { built } from '../../support/process/built.js';
import { runCommand, startCommand } from '../../support/process/command.js';
import type { NodeProcess } from '../../support/process/processes.js';
import { until } from '../../support/until.js';

/** The secrets. Short ones, since an engine may quote only a few characters. */
const SECRETS = {
  password: 'pw-hunter2/+',
  'wrong password': 'pw-wrong2/+',
  'API key': 'sk-hunter2-first',
  'second API key': 'sk-hunter2-second',
  'key in a query': 'q-hunter2/+',
  input: 'zqinput',
  'corrupt input': 'zqbad',
  'malformed command': 'zqstop',
} as const;

const MODULE = built('test/support/task/leaky-tasks.mjs');
const keyPrefix = 'secrets';
const PROMPT = { model: 'm', messages: [{ role: 'user' as const, content: SECRETS.input }] };

describe('Secrets', { concurrency: true }, () => {
  let fleet: TestFleet;
  let producer: Producer;

  before(async () => {
    fleet = await TestFleet.start();
    await setPassword(SECRETS.password);
    producer = fleet.producer({ keyPrefix });
  });
  after(() => fleet.stop());

  const setPassword = (password: string) =>
    fleet.onEach((client) => client.acl('SETUSER', 'fleet', 'on', 'resetpass', `>${password}`, '~*', '&*', '+@all'));
  const urlWith = (password: string, port = fleet.redis.port): string => `redis://fleet:${encodeURIComponent(password)}@127.0.0.1:${port}`;

  function assertNone(text: string): void {
    for (const [what, secret] of Object.entries(SECRETS)) {
      for (const form of [secret, encodeURIComponent(secret)]) {
        const line = text.split('\n').find((one) => one.includes(form));
        assert.equal(line, undefined, `the ${what} is in: ${line}`);
      }
    }
  }

  /** Adds jobs, bypassing the producer, that a worker must fail. Returns their ids. */
  async function addBadJobs(): Promise<string[]> {
    const { queues } = fleet.store({ keyPrefix });
    const queue = queues.get('leak');
    const text = SECRETS.input;
    await queue.pause();
    const jobs = [
      await queue.add('leak.picky', { text, n: text, more: text }),
      await queue.add('leak.output', { text }),
      await queue.add('leak.gone', { text }),
      await queue.add('leak.throw', { text }),
    ];
    const corrupt = jobs.at(-1)?.id;
    await fleet.client.hset(`${fleet.keys(keyPrefix).jobs('leak')}${corrupt}`, 'data', `{"text":${SECRETS['corrupt input']}}`);
    await queue.resume();
    return jobs.map(({ id }) => id as string);
  }

  /** Resolves with the errors of these tasks once each has one, tasks without a handler included, which stay queued. */
  async function errorsOf(ids: readonly string[]): Promise<string> {
    const tasks = await Promise.all(
      ids.map((id) =>
        until(
          () => producer.get(id),
          (task) => typeof task?.error === 'string',
        ),
      ),
    );
    return tasks.map((task) => task?.error).join('\n');
  }

  async function startWorker(t: TestContext, env: Readonly<Record<string, string>>): Promise<NodeProcess> {
    const settings = {
      REDIS_CLUSTER: String(fleet.settings.cluster),
      REDIS_KEY_PREFIX: keyPrefix,
      TASK_MODULES: MODULE,
      GLOBAL_LOG_LEVEL: 'trace',
      SHUTDOWN_TIMEOUT_MS: '0',
    };
    const worker = startCommand(['worker'], { env: { ...settings, ...env } });
    t.after(() => worker.stop());
    await worker.waitForLine(/Worker is ready/);
    return worker;
  }

  it('are in no log line of a worker at any level, and in no error of a task, whatever fails', async (t) => {
    const echo = await upstream(
      t,
      (request, response) => void response.writeHead(400).end(`${request.headers.authorization} ${request.url}`),
    );
    const base = `${echo}?api-key=${encodeURIComponent(SECRETS['key in a query'])}`;
    const worker = await startWorker(t, {
      REDIS_URL: urlWith(SECRETS.password),
      OPENAI_API_BASE_URLS: `${base};http://127.0.0.1:1/v1?api-key=${encodeURIComponent(SECRETS['key in a query'])}`,
      OPENAI_API_KEYS: `${SECRETS['API key']};${SECRETS['second API key']}`,
    });
    await fleet.client.publish(fleet.keys(keyPrefix).commands, `{"action":"stop","reason":${SECRETS['malformed command']}}`);
    const enqueued = [await producer.enqueue(chatCompletion, PROMPT), await producer.enqueue(modelsRefresh, {})];
    const ids = [...enqueued.map(({ id }) => id), ...(await addBadJobs())];
    const leaks = ['leak.throw', 'leak.thread'];
    const { queues } = fleet.store({ keyPrefix });
    const leaky = await Promise.all(leaks.map((name) => queues.get('leak').add(name, { text: SECRETS.input })));
    const errors = await errorsOf(ids);
    assertNone(errors);
    // What a handler itself puts in its error is kept with the task and logged.
    const own = `Cannot work with ${SECRETS.input}`;
    assert.match(await errorsOf(leaky.map(({ id }) => id as string)), new RegExp(`${own}\n${own}`));
    await setPassword('another');
    await fleet.onEach((client) => client.call('CLIENT', 'KILL', 'USER', 'fleet'));
    await worker.waitForLine(/Cannot use Redis with these settings/);
    await setPassword(SECRETS.password);
    await worker.waitForLine(/connection restored/);
    await worker.waitForLine(/Unsupported message on the stop channel/);
    await worker.stop();
    assert.equal(worker.stderr.lines.filter((line) => line.includes('Says what it has')).length, 2);
    assert.equal(worker.stderr.lines.filter((line) => line.includes('Task failed') && line.includes(own)).length, 2);
    assertNone((worker.stdout.text + worker.stderr.text).replaceAll(own, ''));
  });

  it('are in no output of a command when Redis refuses it or is down', async () => {
    const env = { REDIS_CLUSTER: String(fleet.settings.cluster), GLOBAL_LOG_LEVEL: 'trace', REDIS_SOCKET_CONNECT_TIMEOUT: '0.2' };
    const results = await Promise.all([
      runCommand(['doctor'], { env: { ...env, REDIS_URL: urlWith(SECRETS['wrong password']) } }),
      runCommand(['task', 'list', '-o', 'json'], { env: { ...env, REDIS_URL: urlWith(SECRETS.password, 1) } }),
    ]);
    assert.deepEqual(
      results.map(({ code }) => code),
      [1, 69],
    );
    assertNone(results.map(({ stdout, stderr }) => `${stdout}\n${stderr}`).join('\n'));
  });
});
