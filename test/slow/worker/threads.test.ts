import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import type { Producer, TaskEvent } from '../../../producer/index.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { type FleetWorker, type WorkerConfig, defineTask } from '../../../worker/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { builtUrl } from '../../support/process/built.js';
import { COMMAND } from '../../support/process/command.js';
import { spawnNode } from '../../support/process/processes.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../worker/index.js');

const MODULE = `
import { UnrecoverableError } from '${import.meta.resolve('bullmq')}';
import { z } from '${import.meta.resolve('zod')}';
import { RetryAfter, defineHandler, defineTask } from '${COMPILED}';

const KEEP = ${JSON.stringify(KEEP)};
const isolated = (name, handle, options = {}) =>
  defineHandler(defineTask({ name, input: z.any(), retention: KEEP, ...options }), handle, { isolate: true });
class Refused extends UnrecoverableError {}
const ERRORS = {
  passing: () => new TypeError('again'),
  final: () => new UnrecoverableError('for good'),
  extended: () => new Refused('refused'),
  invalid: () => z.string().safeParse(1).error,
  excepted: () => Object.assign(new Error('no such file'), { code: 'ENOENT' }),
};
const abort = ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

export default [
  isolated('thread.context', ({ id, name, item, attempt, input }) => ({ id, name, item, attempt, input })),
  isolated('thread.speaks', ({ emit, progress, log }) => {
    for (let index = 0; index < 500; index += 1) emit(index);
    for (const chunk of [undefined, () => 1, new Date(0)]) emit(chunk);
    for (let done = 1; done <= 100; done += 1) progress({ done, total: 100 });
    log.child({ part: 'b' }).warn({ n: 5 }, 'from a thread');
    return new Date(0);
  }),
  isolated('thread.counts', ({ emit }) => {
    emit({ n: 1 });
    emit({ n: 'two' });
  }, { chunk: z.object({ n: z.int() }) }),
  isolated('thread.waits', async (context) => {
    context.emit('waiting');
    try {
      await abort(context);
    } catch (reason) {
      context.emit([reason.name, reason.reason, reason.by, reason.timeoutMs]);
      throw new Error('something else');
    }
  }, { retry: { attempts: 5, backoff: { delayMs: 0 } } }),
  isolated('thread.late', (context) => context.emit('begun') ?? abort(context), { timeoutMs: 30 }),
  defineHandler(defineTask({ name: 'mixed.late', input: z.any(), timeoutMs: 30, retention: KEEP }),
    (context) => context.emit('begun') ?? abort(context), { isolate: () => true }),
  isolated('thread.spins', (context) => { context.emit('begun'); for (;;); }, { timeoutMs: 60_000 }),
  isolated('thread.overruns', (context) => { context.emit('begun'); for (;;); }, { timeoutMs: 30 }),
  isolated('thread.throws', ({ input }) => { throw ERRORS[input.error](); },
    { retry: { attempts: 2, backoff: { delayMs: 0 }, except: ['ENOENT'] } }),
  isolated('thread.circle', () => { const circle = {}; circle.self = circle; return circle; },
    { retry: { attempts: 2, backoff: { delayMs: 0 } } }),
  isolated('thread.long', ({ input, progress, emit }) => ({
    result: () => 'x'.repeat(2_000),
    progress: () => progress({ text: 'x'.repeat(70_000) }),
    chunk: () => emit(['x'.repeat(300_000)]),
  })[input.what](), { retry: { attempts: 2, backoff: { delayMs: 0 } } }),
  isolated('thread.exits', ({ input, emit }) => {
    if (input.late) setTimeout(() => process.exit(), 1);
    emit('last words');
    return input.late ? new Promise(() => {}) : process.exit(3);
  },
    { retry: { attempts: 2, backoff: { delayMs: 0 } } }),
  isolated('thread.grows', ({ emit }) => { emit('last words'); for (const all = []; ; ) all.push(new Array(1_000).fill({})); }),
  isolated('thread.thrice', ({ attempt }) => {
    if (attempt === 1) throw Object.assign(new TypeError('one', { cause: Object.assign(new Error('why'), { code: 'ECONNRESET' }) }), { code: 'E_ONE' });
    if (attempt === 2) throw new AggregateError([new RangeError('first'), 'second'], 'many', { cause: new Error('overload') });
    throw 'just text';
  }, { retry: { attempts: 3, backoff: { delayMs: 0 } } }),
  isolated('thread.later', () => { throw new RetryAfter(60_000, 'busy', { countAttempt: false }); }),
  isolated('thread.breaks', ({ progress }) => progress(NaN)),
];
`;
const task = (name: string) => defineTask({ name, input: z.any(), retry: { attempts: 2, backoff: { delayMs: 0 } }, retention: KEEP });

describe('An isolated handler', () => {
  let fleet: TestFleet;
  let folder: string;
  let prefix: string;
  let producer: Producer;
  let log: LogLines;
  let worker: FleetWorker;

  before(async () => {
    fleet = await TestFleet.start();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-threads-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    log = new LogLines();
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true });
  });

  async function start(t: { after: (end: () => Promise<void>) => void }, config: Partial<WorkerConfig> = {}) {
    const settings = {
      redisUrl: fleet.redis.url,
      keyPrefix: prefix,
      shutdownTimeoutMs: 0,
      stopGraceMs: 50,
      threads: 1,
      loggers: log.loggers,
    };
    worker = await createWorker({ ...settings, cwd: folder, taskModules: ['tasks.mjs'], ...config });
    t.after(() => worker.stop());
    await worker.start();
    await worker.ready();
  }

  const enqueue = async (name: string, input: unknown = {}, options: Parameters<Producer['enqueue']>[2] = {}) =>
    (await producer.enqueue(task(name), input, options)).id;
  const ended = async (id: string) => {
    await producer.result(id).catch(() => undefined);
    return producer.get(id);
  };
  /** Resolves with the task's first chunk: its handler is running. */
  async function firstChunk(id: string): Promise<unknown> {
    for await (const event of producer.events(id)) if (event.type === 'chunk') return event.chunk;
    return null;
  }
  async function chunks(id: string): Promise<unknown[]> {
    const events: TaskEvent[] = [];
    for await (const event of producer.events(id)) events.push(event);
    return events.flatMap((event) => (event.type === 'chunk' ? [event.chunk] : []));
  }

  it('gets the same context as other handlers', async (t) => {
    await start(t);
    const id = await enqueue('thread.context', { n: [1, null] }, { item: 'doc-1' });
    assert.deepEqual(await producer.result(id), { id, name: 'thread.context', item: 'doc-1', attempt: 1, input: { n: [1, null] } });
  });

  it('has its chunks checked, as other handlers do', async (t) => {
    await start(t);
    const id = await enqueue('thread.counts');
    assert.match((await ended(id))?.error ?? '', /^Bad chunk of thread\.counts: n: /);
    assert.deepEqual(await chunks(id), [{ n: 1 }]);
  });

  it('has the same output as other handlers: chunks in order, progress, log lines, a JSON result', async (t) => {
    await start(t);
    const id = await enqueue('thread.speaks');
    assert.equal(await producer.result(id), new Date(0).toISOString());
    assert.deepEqual(await chunks(id), [...Array.from({ length: 500 }, (_, index) => index), null, null, new Date(0).toISOString()]);
    assert.deepEqual((await producer.get(id))?.progress, { done: 100, total: 100 });
    const [line] = log.find(/^from a thread$/);
    assert.deepEqual(
      [line?.level, line?.['task'], line?.['name'], line?.['part'], line?.['n'], line?.['component']],
      [40, id, 'thread.speaks', 'b', 5, 'task'],
    );
  });

  it('gets a stop with its sender and reason, and is cancelled no matter what it throws', async (t) => {
    await start(t, { stopGraceMs: 60_000 });
    const id = await enqueue('thread.waits');
    await firstChunk(id);
    const receipt = await producer.stop(id, { reason: 'enough', by: 'bob', waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
    assert.deepEqual(await chunks(id), ['waiting', ['StopRequested', 'enough', 'bob', null]]);
    assert.equal((await producer.get(id))?.attempt, 1);
  });

  it('gets the abort at its timeout', async (t) => {
    await start(t);
    const view = await ended(await enqueue('thread.late'));
    assert.deepEqual([view?.state, view?.error], ['failed', 'Timed out after 30 ms']);
  });

  it('that ignores a stop is terminated with its thread, which uses no more CPU', async (t) => {
    await start(t);
    const id = await enqueue('thread.spins');
    await firstChunk(id);
    const receipt = await producer.stop(id, { waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'kill']);
    assert.equal(worker.status().zombies, 0);
    // The only thread is free for the next task. Its start takes CPU time too.
    assert.equal((await producer.result<{ input: unknown }>(await enqueue('thread.context', 1))).input, 1);
    const cpu = process.cpuUsage();
    await setTimeout(300); // the measured time; a spinning thread would use all of it
    const { user, system } = process.cpuUsage(cpu);
    assert.ok(user + system < 150_000, `${(user + system) / 1_000} ms of CPU`);
  });

  it('that exceeds its timeout is terminated with its thread', async (t) => {
    await start(t);
    const view = await ended(await enqueue('thread.overruns'));
    assert.deepEqual([view?.state, view?.error], ['failed', 'Timed out after 30 ms']);
  });

  it('that waits for a free thread is stopped at once, and its timeout starts with the thread', async (t) => {
    await start(t);
    const spinning = await enqueue('thread.spins');
    await firstChunk(spinning);
    const [stopped, patient] = [await enqueue('mixed.late'), await enqueue('mixed.late')];
    await until(
      () => worker.status().running,
      (ids) => ids.includes(stopped) && ids.includes(patient),
    );
    await setTimeout(60); // twice its timeout
    const receipt = await producer.stop(stopped, { waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue']);
    assert.deepEqual([(await producer.get(stopped))?.attempt, (await producer.get(patient))?.state], [0, 'running']);
    assert.equal(log.find(/ignored its abort signal/).length, 0);
    await producer.stop(spinning, { waitMs: 60_000 });
    assert.equal((await ended(patient))?.error, 'Timed out after 30 ms');
    assert.deepEqual([await chunks(stopped), await chunks(patient)], [[], ['begun']]);
  });

  it('fails with its error, and is retried unless the error is final', async (t) => {
    await start(t, { maxResultBytes: 1_024 });
    const view = await ended(await enqueue('thread.throws', { error: 'passing' }));
    assert.deepEqual([view?.state, view?.attempt, view?.error], ['failed', 2, 'again']);
    for (const [error, message] of [
      ['final', /^for good$/],
      ['extended', /^refused$/],
      ['invalid', /expected string/],
      ['excepted', /^no such file$/],
    ] as const) {
      const final = await ended(await enqueue('thread.throws', { error }));
      assert.deepEqual([final?.state, final?.attempt], ['failed', 1], error);
      assert.match(final?.error ?? '', message);
    }
    const circle = await ended(await enqueue('thread.circle'));
    assert.equal(circle?.attempt, 1);
    assert.match(circle?.error ?? '', /^Bad output of thread\.circle: not JSON \(.*circular/i);
    for (const [what, message] of [
      ['result', /^The result of thread\.long is 2002 bytes/],
      ['progress', /^context\.progress: .* 65536 are allowed/],
      ['chunk', /^context\.emit: /],
    ] as const) {
      const long = await ended(await enqueue('thread.long', { what }));
      assert.deepEqual([long?.state, long?.attempt], ['failed', 1], what);
      assert.match(long?.error ?? '', message);
    }
    assert.match((await ended(await enqueue('thread.breaks')))?.error ?? '', /expected a number or an object/);
  });

  it('fails with the name, code, causes and members of its error, and may ask for a later retry', async (t) => {
    await start(t);
    const thrice = defineTask({ name: 'thread.thrice', input: z.any(), retry: { attempts: 3, backoff: { delayMs: 0 } }, retention: KEEP });
    const view = await ended((await producer.enqueue(thrice, {})).id);
    const [first, second, third] = (view?.attempts ?? []).map(({ error }) => error);
    assert.deepEqual([first?.name, first?.code, first?.cause?.code, first?.message], ['TypeError', 'E_ONE', 'ECONNRESET', 'one']);
    assert.match(first?.stack ?? '', /tasks\.mjs/);
    assert.deepEqual([second?.name, second?.cause?.message], ['AggregateError', 'overload']);
    assert.deepEqual(
      second?.errors.map(({ name, message }) => [name, message]),
      [
        ['RangeError', 'first'],
        ['string', 'second'],
      ],
    );
    assert.deepEqual([third?.name, third?.message, third?.stack, view?.error], ['string', 'just text', null, 'just text']);
    const later = await enqueue('thread.later');
    const put = await until(
      () => producer.get(later),
      (found) => found?.state === 'retrying',
    );
    assert.deepEqual([put?.attempt, put?.error, put?.attempts?.[0]?.error?.name], [0, 'busy', 'RetryAfter']);
    assert.equal(Number(put?.attempts?.[0]?.retryAt) - Number(put?.attempts?.[0]?.endedAt), 60_000);
  });

  it('fails with a code if it ends its thread or needs too much memory; the worker and its other tasks go on', async (t) => {
    await start(t, { threads: 2, threadMemoryMb: 64 });
    const neighbour = await enqueue('thread.waits');
    await firstChunk(neighbour);
    for (const [name, input, error] of [
      ['thread.exits', {}, /^thread\.exits ended its thread, which exited with code: 3\.$/],
      ['thread.exits', { late: true }, /exited with code: 0\.$/],
      ['thread.grows', {}, /^thread\.grows ran out of memory in its thread: it needs a larger heap than THREAD_MEMORY_MB \(64\)\.$/],
    ] as const) {
      const id = await enqueue(name, input);
      const view = await ended(id);
      assert.deepEqual([view?.state, view?.attempt], ['failed', 2]);
      assert.match(view?.error ?? '', error);
      assert.deepEqual(await chunks(id), ['last words', 'last words']);
    }
    assert.equal((await producer.get(neighbour))?.attempt, 1);
    await producer.stop(neighbour, { waitMs: 60_000 });
    assert.equal((await producer.result<{ input: unknown }>(await enqueue('thread.context', 1))).input, 1);
  });

  it('is requeued at a shutdown, and its thread terminated', async (t) => {
    await start(t);
    const id = await enqueue('thread.spins', {}, { item: 'chat-1' });
    await firstChunk(id);
    await worker.stop();
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.attempt], ['queued', 0]);
    await producer.stop(id);
    await fleet.emptied(prefix);
  });

  it('fails if no thread can be started', async () => {
    const preload = join(folder, 'preload.mjs');
    await writeFile(preload, `import { isMainThread } from 'node:worker_threads'; if (!isMainThread) throw new Error('no room');`);
    const env = { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: prefix, TASK_MODULES: join(folder, 'tasks.mjs'), THREAD_POOL_SIZE: '1' };
    const child = spawnNode(['--import', preload, COMMAND, 'worker'], { env });
    for (let round = 0; round < 2; round += 1) {
      const view = await ended(await enqueue('thread.context'));
      assert.deepEqual([view?.state, view?.error], ['failed', 'Could not start a thread: no room']);
    }
    await child.stop();
  });

  it('runs the spinning canary', async (t) => {
    await start(t);
    const { id } = await producer.enqueue(fleetCanary, { mode: 'spin', run_ms: 60_000 });
    await until(
      () => producer.get(id),
      (view) => view?.state === 'running',
    );
    const receipt = await producer.stop(id, { waitMs: 60_000 });
    assert.equal(receipt.outcome, 'cancelled');
    const { ran_ms: ranMs } = await producer.result(await producer.enqueue(fleetCanary, { mode: 'spin', run_ms: 5 }));
    assert.ok(ranMs >= 5);
  });

  it('keeps its lock while the threads are busy: it runs once and does not stall', async (t) => {
    // More threads than cores, for longer than a lock and several stalled checks.
    await start(t, { threads: 4, lockMs: 8_000, stalledCheckMs: 1_000 });
    const tasks = await Promise.all([1, 2, 3, 4].map(() => producer.enqueue(fleetCanary, { mode: 'spin', run_ms: 9_000 })));
    for (const { id, queue } of tasks) {
      await producer.result(id);
      const { atm, ats, stc } = await fleet.client.hgetall(`${prefix}:bull:${queue}:${id}`);
      assert.deepEqual({ atm, ats, stc }, { atm: '1', ats: '1', stc: undefined });
    }
  });
});
