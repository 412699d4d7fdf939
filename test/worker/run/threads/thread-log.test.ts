import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { z } from 'zod';
import type { LogLine, Producer } from '../../../../producer/index.js';
import { type FleetWorker, defineTask } from '../../../../worker/index.js';
import { LogFlow, threadLogger } from '../../../../worker/run/threads/thread-log.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { builtUrl } from '../../../support/process/built.js';
import { KEEP } from '../../../support/task/keep.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../../worker/index.js');

const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const isolated = (name, handle, options = {}) =>
  defineHandler(defineTask({ name, input: z.any(), retention: ${JSON.stringify(KEEP)}, ...options }), handle, { isolate: true });

export default [
  isolated('thread.talks', ({ log }) => {
    log.trace('not sent');
    log.info({ n: 1, password: 'p' }, 'one');
    log.child({ part: 'b' }).error({ error: new RangeError('oops') }, 'two');
  }),
  isolated('thread.hangs', ({ log }) => {
    for (let n = 1; n <= 50; n += 1) log.info('line %d', n);
    for (;;);
  }, { timeoutMs: 30 }),
  isolated('thread.floods', ({ log }) => {
    for (let n = 1; n <= 20_000; n += 1) log.info({ text: 'x'.repeat(200) }, 'line %d', n);
  }),
];
`;

describe('The log of an isolated task', () => {
  let folder: string;
  let fleet: TestFleet;
  let producer: Producer;
  let worker: FleetWorker;
  const logged = new LogLines('info');

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-thread-log-'));
    const module = join(folder, 'tasks.mjs');
    await writeFile(module, MODULE);
    fleet = await TestFleet.start();
    const keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    worker = await createWorker({
      ...{ ...fleet.settings, keyPrefix, taskModules: [module], threads: 2, shutdownTimeoutMs: 0, stopGraceMs: 0 },
      loggers: logged.loggers,
    });
    await worker.start();
    await worker.ready();
  });
  after(async () => {
    await worker.stop();
    await fleet.stop();
    await rm(folder, { recursive: true });
  });

  const run = async (name: string): Promise<LogLine[]> => {
    const { id } = await producer.enqueue(defineTask({ name, input: z.any(), retention: KEEP }), null);
    await producer.result(id).catch(() => undefined);
    const lines: LogLine[] = [];
    for await (const line of producer.logs(id)) lines.push(line);
    return lines.filter(({ message }) => !/^(Attempt|Task) failed/.test(message));
  };

  it('has the lines of the thread, as in the main thread', async () => {
    const lines = await run('thread.talks');
    assert.match(JSON.stringify(lines.at(-1)?.fields['error']), /^\{"name":"RangeError","message":"oops","stack":/);
    assert.deepEqual(
      lines.map(({ level, attempt, message: text, fields: { error: _, ...rest } }) => [level, attempt, text, rest]),
      [
        ['info', 1, 'one', { n: 1, password: '***' }],
        ['error', 1, 'two', { part: 'b' }],
      ],
    );
    assert.equal(logged.find(/^one$/).length, 1);
  });

  it('has the last lines of a thread that was terminated', async () => {
    assert.deepEqual(
      (await run('thread.hangs')).map(({ message }) => message),
      Array.from({ length: 50 }, (_, index) => `line ${index + 1}`),
    );
  });

  it('keeps its order and its last lines when the thread logs without a pause', async () => {
    const lines = await run('thread.floods');
    assert.ok(lines.length > 500, `${lines.length} lines`);
    assert.ok(lines.every(({ seq, message }) => message === `line ${seq}`));
    assert.equal(lines.at(-1)?.seq, 20_000);
  });
});

test('a thread waits with its lines while the main thread does not read them', () => {
  const { port1, port2 } = new MessageChannel();
  const flow = new LogFlow(undefined, 500, 1_000);
  const log = threadLogger(port1, flow, 'debug');
  const waited = (): number => {
    const from = performance.now();
    log.info('x'.repeat(400));
    return performance.now() - from;
  };
  const [first, second, third] = [waited(), waited(), waited()];
  assert.ok(first < 900 && second < 900 && third >= 900, `${[first, second, third].join(', ')} ms`);
  flow.receive(2_000);
  assert.ok(waited() < 900);
  log.trace('below the level');
  port1.close();
  port2.close();
});
