import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { EnqueueOptions, Producer } from '../../../../producer/index.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { CliFleet } from '../../../support/fleet/cli-fleet.js';
import type { CommandResult } from '../../../support/process/command.js';
import { startCli } from '../../../support/process/run-cli.js';
import type { TestRedis } from '../../../support/redis/test-redis.js';
import { KEEP } from '../../../support/task/keep.js';

const HOUR_MS = 3_600_000;

describe('taskfleet task: final states and retries', () => {
  let fleet: CliFleet;
  let folder: string;
  let redis: TestRedis;
  let producer: Producer;
  let env: CliFleet['env'];

  before(async () => {
    fleet = await CliFleet.start();
    ({ folder, redis, producer, env } = fleet);
  });
  after(() => fleet.stop());

  const task = (...args: string[]): Promise<CommandResult> => fleet.task(...args);

  async function add(name: string, id: string, options: EnqueueOptions = {}): Promise<void> {
    await producer.enqueue(defineTask({ name, input: z.strictObject({}), retention: KEEP }), {}, { ...options, id });
  }

  /** Starts a task that emits output and then waits to be stopped. */
  async function talking(id: string): Promise<void> {
    await add('test.talk', id);
    await firstChunk(id);
  }

  /** Resolves when the handler is running. */
  async function firstChunk(id: string): Promise<void> {
    for await (const event of producer.events(id)) if (event.type === 'chunk') return;
  }

  async function failed(id: string): Promise<void> {
    await add('test.fail', id);
    assert.equal((await producer.waitUntilFinished(id)).state, 'failed');
  }

  describe('retry', () => {
    it('retries failed and cancelled tasks and prints a line for each', async () => {
      await failed('retry-1');
      await add('test.talk', 'retry-2', { item: 'room', delay: HOUR_MS });
      await producer.stop('retry-2');
      const { code, stdout, stderr } = await task('retry', 'retry-1', 'retry-2');
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, /^retry-1 {2}test\.fail {2}\w+\nretry-2 {2}test\.talk {2}(?:queued|running) {2}item room$/);
      await firstChunk('retry-2');
      assert.equal((await producer.stop('retry-2', { waitMs: 60_000 })).via, 'signal', 'it ran');
    });

    it('prints an array of tasks as JSON', async () => {
      await add('test.talk', 'retry-3', { delay: HOUR_MS });
      await producer.stop('retry-3');
      const { code, stdout } = await task('retry', 'retry-3', '-o', 'json');
      const tasks = JSON.parse(stdout) as { id: string; state: string; stop: unknown }[];
      assert.equal(code, 0);
      assert.deepEqual(
        tasks.map(({ id, stop }) => [id, stop]),
        [['retry-3', null]],
      );
      assert.match(tasks[0]?.state ?? '', /^(?:queued|running)$/);
      await producer.stop('retry-3', { waitMs: 60_000 });
    });

    it('exits with code 1 if a task cannot be retried, 3 if one is unknown, 2 on a usage error, and then retries none', async () => {
      await failed('retry-4');
      await add('test.talk', 'retry-5', { delay: HOUR_MS });
      const [live, missing, none, wrong] = await Promise.all([
        task('retry', 'retry-4', 'retry-5'),
        task('retry', 'retry-4', 'nobody'),
        task('retry'),
        task('retry', ''),
      ]);
      assert.deepEqual([live.code, missing.code, none.code, wrong.code], [1, 3, 2, 2]);
      assert.equal(
        live.stderr,
        'taskfleet: Task retry-5 cannot be retried: it is scheduled; only failed, cancelled and skipped tasks can be.',
      );
      assert.match(missing.stderr, /^taskfleet: Task nobody not found: /);
      assert.deepEqual([live.stdout, missing.stdout], ['', '']);
      assert.equal((await producer.get('retry-4'))?.state, 'failed');
    });

    it('has examples in its help', async () => {
      const { code, stdout } = await task('retry', '--help');
      assert.equal(code, 0);
      assert.match(stdout, /Examples:\n {2}taskfleet task retry /);
    });
  });

  describe('stop', () => {
    it('prints how and how fast each stop settled, or how the task had already ended', async () => {
      await talking('stop-1');
      await add('test.talk', 'stop-2', { delay: HOUR_MS });
      await failed('stop-3');
      await producer.enqueue(
        defineTask({ name: 'test.flaky', input: z.strictObject({}), retry: { attempts: 2, backoff: { delayMs: 0 } }, retention: KEEP }),
        {},
        { id: 'stop-4' },
      );
      await producer.result('stop-4');
      const { code, stdout } = await task('stop', 'stop-1', 'stop-2', 'stop-3', 'stop-4', 'nobody');
      assert.equal(code, 3);
      const lines = stdout.split('\n');
      const time = String.raw`\d+(?:\.\d)? m?s`;
      assert.match(lines[0] ?? '', new RegExp(`^stop-1 {2}cancelled via signal in ${time}$`));
      assert.match(lines[1] ?? '', new RegExp(`^stop-2 {2}cancelled via queue in ${time}$`));
      assert.deepEqual(lines.slice(2), [
        'stop-3  had already ended (failed)',
        'stop-4  had already ended (completed)',
        'nobody  not found',
      ]);
    });
  });

  describe('watch', () => {
    it('prints the receipt of a stopped task, as text and as JSON', async () => {
      await talking('watch-1');
      const receipt = await producer.stop('watch-1', { by: 'alice', reason: 'too slow', waitMs: 60_000 });
      assert.equal(receipt.outcome, 'cancelled');
      const [text, json] = await Promise.all([task('watch', 'watch-1'), task('watch', 'watch-1', '-o', 'json')]);
      assert.deepEqual([text.code, json.code], [4, 4]);
      assert.match(text.stderr, /^■ cancelled by alice: too slow \(via signal, \d+(?:\.\d)? m?s\)$/);
      const last = JSON.parse(json.stdout.split('\n').at(-1) ?? '') as Record<string, unknown>;
      assert.deepEqual(last, {
        ...{
          type: 'state',
          id: null,
          at: last['at'],
          state: 'cancelled',
          attempt: 1,
          error: null,
          next_attempt_at: null,
          waiting_for: null,
          skipped_for: null,
        },
        receipt: {
          ...{ id: 'watch-1', outcome: 'cancelled', ended_as: 'cancelled', via: 'signal', reason: 'too slow', by: 'alice' },
          ...{
            requested_at: receipt.requestedAt?.toISOString(),
            settled_at: receipt.settledAt?.toISOString(),
            latency_ms: receipt.latencyMs,
          },
        },
      });
    });

    it('reports a removed task and exits with code 4', async () => {
      await add('test.talk', 'watch-2', { delay: HOUR_MS });
      const watch = startCli(['task', 'watch', 'watch-2'], { env, cwd: folder });
      await watch.waitForLine(/^state scheduled$/);
      const client = redis.client();
      await client.multi().del('taskfleet:bull:test:watch-2').zrem('taskfleet:bull:test:delayed', 'watch-2').exec();
      assert.equal((await watch.exit).code, 4);
      assert.equal(watch.stderr.text.trim(), '■ cancelled: The task was removed before it ended');
    });
  });
});
