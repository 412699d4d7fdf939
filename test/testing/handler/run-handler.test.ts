import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { LockLost, RetryAfter, ShuttingDown, StopRequested, TimedOut, defineHandler, defineTask, isFleetError } from '../../../index.js';
import { type RunHandlerOptions, runHandler } from '../../../testing/index.js';
import type { TaskContext, TaskEnd } from '../../../worker/index.js';
import { deferred } from '../../support/deferred.js';

const say = defineTask({
  name: 'chat.say',
  input: z.object({ words: z.array(z.string()), gapMs: z.number().default(0) }),
  output: z.object({ said: z.number() }),
  chunk: z.string(),
  retry: { attempts: 3, backoff: { delayMs: 1_000, jitter: 0 }, except: ['RangeError'] },
  tags: () => ['kind:chat'],
});

/** Emits a word every `gapMs`, and stops between two words. */
const sayHandler = defineHandler(say, async ({ input, emit, signal, progress, log }) => {
  for (const [index, word] of input.words.entries()) {
    signal.throwIfAborted();
    emit(word);
    progress({ done: index + 1, total: input.words.length });
    log.info({ index }, 'Said a word');
    await delay(input.gapMs, undefined, { signal });
  }
  return { said: input.words.length };
});

/** Runs a handler of `chat.say` that does `work`. */
const runWork = (
  work: (context: TaskContext<{ words: string[]; gapMs: number }, string>) => unknown,
  options?: RunHandlerOptions<string>,
) =>
  runHandler(
    defineHandler(say, async (context) => (await work(context)) as { said: number }),
    { words: ['a'] },
    options,
  );

describe('runHandler', () => {
  test('returns what a worker would record of a completed attempt', async () => {
    const run = await runHandler(sayHandler, { words: ['a', 'b'] }, { item: 'chat-1' });
    assert.equal(run.outcome, 'completed');
    assert.equal(run.state, 'completed');
    const said: number | undefined = run.result?.said;
    assert.equal(said, 2);
    const chunks: readonly string[] = run.chunks;
    assert.deepEqual(chunks, ['a', 'b']);
    assert.deepEqual(run.progress.at(-1), { done: 2, total: 2 });
    assert.deepEqual(
      run.logs.map(({ level, message, attempt, fields }) => ({ level, message, attempt, fields })),
      [0, 1].map((index) => ({ level: 'info', message: 'Said a word', attempt: 1, fields: { index } })),
    );
    assert.deepEqual([run.willRetry, run.abort, run.heededSignal, run.error, run.thrown], [false, null, null, null, undefined]);
  });

  test('stops at the first chunk, with a typed cause that the handler heeds', async () => {
    const run = await runHandler(
      sayHandler,
      { words: ['a', 'b'], gapMs: 60_000 },
      { stopAfter: 'first-chunk', stop: { by: 'alice', reason: 'slow' } },
    );
    assert.equal(run.outcome, 'cancelled');
    assert.deepEqual(run.chunks, ['a']);
    assert.ok(run.abort?.cause instanceof StopRequested);
    assert.deepEqual([run.abort.cause.by, run.abort.cause.reason], ['alice', 'slow']);
    assert.equal(run.heededSignal, true);
    assert.ok(run.abort.endedAfterMs < 30_000);
    assert.equal((run.thrown as Error).name, 'AbortError');
    assert.deepEqual([run.willRetry, run.result], [false, null]);
  });

  test('gives up a handler that ignores its signal', async () => {
    const run = await runWork(async ({ signal }) => (signal.aborted, delay(60_000, undefined, { ref: false })), {
      stopAfter: 0,
      graceMs: 20,
    });
    assert.deepEqual([run.outcome, run.heededSignal, run.abort?.abandoned], ['cancelled', false, true]);
    assert.ok((run.abort?.endedAfterMs ?? 0) >= 15);
  });

  test('tells a handler that never looks at its signal, although it ends in time', async () => {
    const run = await runWork(() => delay(10), { stopAfter: 0 });
    assert.deepEqual([run.outcome, run.heededSignal, run.abort?.abandoned], ['cancelled', false, false]);
  });

  test('stops when a promise of the test settles', async () => {
    const reached = deferred();
    const run = await runWork(
      ({ signal }) => {
        reached.resolve();
        return delay(60_000, undefined, { signal });
      },
      { stopAfter: reached.promise },
    );
    assert.equal(run.outcome, 'cancelled');
  });

  test('a handler that ended before the stop has completed', async () => {
    assert.equal((await runHandler(sayHandler, { words: ['a'] }, { stopAfter: 60_000 })).outcome, 'completed');
    assert.equal((await runWork(() => ({ said: 0 }), { stopAfter: 'first-chunk' })).outcome, 'completed');
  });

  test('times out, and retries only if the definition says so', async () => {
    const timedOut = await runHandler(sayHandler, { words: ['a'], gapMs: 60_000 }, { timeoutAfter: 5 });
    assert.deepEqual([timedOut.outcome, timedOut.state, timedOut.willRetry], ['timed_out', 'failed', false]);
    assert.ok(timedOut.error instanceof TimedOut);
    const patient = defineTask({ name: 'chat.patient', input: z.null(), timeoutMs: 5, retryOnTimeout: true, retry: { attempts: 2 } });
    const run = await runHandler(
      defineHandler(patient, ({ signal }) => delay(60_000, undefined, { signal })),
      null,
    );
    assert.deepEqual([run.outcome, run.state, run.willRetry], ['timed_out', 'retrying', true]);
  });

  test('a failure is retried while attempts are left, unless the definition or the error excludes it', async () => {
    const failing = (error: unknown, options?: RunHandlerOptions<string>) => runWork(() => Promise.reject(error), options);
    const first = await failing(new Error('no luck'));
    assert.deepEqual([first.outcome, first.state, first.willRetry, first.retryInMs], ['failed', 'retrying', true, 1_000]);
    assert.equal(first.error?.message, 'no luck');
    assert.equal((await failing(new Error('no luck'), { attempt: 2 })).retryInMs, 2_000);
    assert.equal((await failing(new Error('no luck'), { attempt: 3 })).state, 'failed');
    assert.equal((await failing(new RangeError('excluded'))).willRetry, false);
    assert.equal((await failing(new RetryAfter(8_000))).retryInMs, 8_000);
    const putOff = await failing(new RetryAfter(8_000, 'busy', { countAttempt: false }), { attempt: 3 });
    assert.deepEqual([putOff.state, putOff.retryInMs], ['retrying', 8_000]);
    assert.equal((await failing('a text')).error?.message, 'a text');
  });

  test('checks chunks, progress, result and cost as a worker does', async () => {
    const emit = await runWork(({ emit: bad }) => bad(1 as unknown as string));
    assert.ok(isFleetError(emit.error, 'INVALID_OUTPUT'));
    assert.equal(emit.willRetry, false);
    assert.ok(isFleetError((await runWork(() => ({ said: 'two' }))).error, 'INVALID_OUTPUT'));
    assert.ok((await runWork(({ progress }) => progress('half' as unknown as number))).error instanceof TypeError);
    assert.ok((await runWork(({ spend }) => spend(-1))).error instanceof TypeError);
    assert.deepEqual((await runWork(({ spend }) => (spend(3), spend(5), { said: 1 }))).costs, [3, 5]);
    const large = await runWork(({ progress }) => progress({ text: 'x'.repeat(2_000_000) }));
    assert.ok(isFleetError(large.error, 'OUTPUT_TOO_LARGE'));
  });

  test('refuses what the producer would refuse', async () => {
    const rejects = (promise: Promise<unknown>, ...codes: Parameters<typeof isFleetError>[1][]) =>
      assert.rejects(promise, (error) => isFleetError(error, ...codes));
    await rejects(runHandler(sayHandler, { words: 1 } as never), 'INVALID_INPUT');
    await rejects(runHandler(sayHandler, { words: [] }, { item: '' }), 'INVALID_ITEM');
    await rejects(runHandler(sayHandler, { words: [] }, { tags: ['\n'] }), 'INVALID_OPTION');
    await rejects(runHandler(sayHandler, { words: [] }, { id: 'a:b' }), 'INVALID_ID');
    await rejects(runHandler(sayHandler, { words: [] }, { attempt: 4 }), 'INVALID_OPTION');
    await rejects(runHandler(sayHandler, { words: [] }, { stopAfter: 'last-chunk' as never }), 'INVALID_OPTION');
    await rejects(runHandler(sayHandler, { words: [] }, { worker: 'tired' as never }), 'INVALID_OPTION');
    await rejects(runHandler(sayHandler, { words: [] }, { module: import.meta.url }), 'INVALID_OPTION');
    await rejects(runHandler({} as never, null), 'INVALID_DEFINITION');
  });

  test('a lost worker drops the result, and a shutdown requeues the task', async () => {
    const lost = await runHandler(sayHandler, { words: ['a'], gapMs: 60_000 }, { worker: 'lost' });
    assert.ok(lost.abort?.cause instanceof LockLost);
    assert.deepEqual([lost.outcome, lost.state, lost.willRetry, lost.heededSignal], ['worker_lost', 'queued', true, true]);
    const again = await runHandler(sayHandler, { words: ['a'] }, { worker: 'lost', workerAfter: 'first-chunk', attempt: 4, losses: 3 });
    assert.deepEqual([again.state, again.willRetry], ['failed', false]);
    assert.ok(isFleetError(again.error, 'WORKER_LOST'));
    const shutdown = await runHandler(sayHandler, { words: ['a'], gapMs: 60_000 }, { worker: 'shutdown' });
    assert.ok(shutdown.abort?.cause instanceof ShuttingDown);
    assert.deepEqual([shutdown.outcome, shutdown.state, shutdown.willRetry], ['requeued', 'queued', true]);
  });

  test('records children after the checks of the producer; an aborted task enqueues none', async () => {
    const run = await runWork(
      async ({ enqueue }) => {
        const child = await enqueue(say, { words: ['child'] }, { delay: 5, tags: ['more:1'], id: 'child-1' });
        assert.equal(child.duplicate, false);
        assert.equal((await enqueue(say, { words: [] }, { id: 'child-1' })).duplicate, true);
        await assert.rejects(enqueue(say, { words: 1 } as never), (error) => isFleetError(error, 'INVALID_INPUT'));
        return { said: 0 };
      },
      { item: 'chat-1', tags: ['tenant:7'] },
    );
    assert.equal(run.outcome, 'completed');
    const [child] = run.children;
    assert.deepEqual(
      [child?.id, child?.name, child?.queue, child?.item, child?.input, child?.delay, child?.tags.toSorted()],
      ['child-1', 'chat.say', 'chat', 'chat-1', { words: ['child'] }, 5, ['kind:chat', 'more:1', 'tenant:7']],
    );
    const stopped = await runWork(
      async ({ enqueue, emit }) => {
        emit('a');
        await delay(5);
        await enqueue(say, { words: [] });
      },
      { stopAfter: 'first-chunk' },
    );
    assert.deepEqual([stopped.children.length, stopped.heededSignal], [0, true]);
  });

  test('runs hooks and middleware of the worker', async () => {
    const seen: string[] = [];
    const ends: TaskEnd[] = [];
    const run = await runHandler(
      sayHandler,
      { words: ['a'] },
      {
        hooks: {
          onAttemptStart: ({ task }) => void seen.push(`start ${task.name}`),
          onAttemptEnd: ({ outcome }) => void seen.push(`end ${outcome}`),
          onTaskFinished: (end) => void ends.push(end),
        },
        use: [
          async (_context, next) => {
            seen.push('before');
            await next();
            return { said: 7 };
          },
        ],
      },
    );
    assert.deepEqual(seen, ['start chat.say', 'before', 'end completed']);
    assert.deepEqual([run.result, ends[0]?.state, ends[0]?.attempts], [{ said: 7 }, 'completed', 1]);
  });
});
