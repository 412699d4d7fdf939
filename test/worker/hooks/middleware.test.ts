import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import type { TaskContext } from '../../../shared/task/handler.js';
import { type Middleware, composeMiddleware } from '../../../worker/hooks/middleware.js';
import { defineTask } from '../../../worker/index.js';
import { deferred } from '../../support/deferred.js';
import { KEEP } from '../../support/task/keep.js';
import { createFakeContext } from '../../support/task/task-context.js';

const definition = defineTask({ name: 'some.task', input: z.unknown(), retention: KEEP });
const { context } = createFakeContext(definition, null);

/** Runs the middleware around a handler. */
function run(use: readonly Middleware[], handle: (context: TaskContext) => unknown): Promise<unknown> {
  const chain = composeMiddleware(use);
  assert.ok(chain);
  return chain(context, async () => handle(context));
}

describe('Middleware', () => {
  it('runs around the handler, the first outermost', async () => {
    const steps: string[] = [];
    const around =
      (name: string): Middleware =>
      async (given, next) => {
        assert.equal(given, context);
        steps.push(`${name} begins`);
        const result = await next();
        steps.push(`${name} got ${String(result)}`);
        return `${String(result)} ${name}`;
      };
    const result = await run([around('a'), around('b')], () => steps.push('handler') && 'result');
    assert.deepEqual(steps, ['a begins', 'b begins', 'handler', 'b got result', 'a got result b']);
    assert.equal(result, 'result b a');
    assert.equal(composeMiddleware([]), null);
  });

  it('keeps the result if it returns nothing, replaces it otherwise, and may leave the handler out', async () => {
    const awaits: Middleware = async (_, next) => void (await next());
    assert.equal(await run([awaits, awaits], () => 7), 7);
    const replaces: Middleware = async (_, next) => (await next()) && null;
    assert.equal(await run([awaits, replaces], () => 7), null);
    const omits: Middleware = () => 'cached';
    assert.equal(await run([omits], () => assert.fail('the handler was called')), 'cached');
  });

  it('passes errors of the handler on, unless it catches them; its own errors replace the result', async () => {
    const failing = (): never => {
      throw new Error('of the handler');
    };
    await assert.rejects(run([(_, next) => next()], failing), /of the handler/);
    const catches: Middleware = (_, next) => next().catch((error: Error) => `caught: ${error.message}`);
    assert.equal(await run([catches], failing), 'caught: of the handler');
    const swallows: Middleware = (_, next) => next().then(undefined, () => undefined);
    assert.equal(await run([swallows], failing), undefined);
    const throws: Middleware = () => {
      throw new Error('of the middleware');
    };
    await assert.rejects(
      run([throws], () => 7),
      /of the middleware/,
    );
  });

  it('lasts until its handler has ended, whether it waits for next() or not', async () => {
    for (const ending of ['returns', 'throws'] as const) {
      const handled = deferred<unknown>();
      const careless: Middleware = (_, next) => {
        void next();
        if (ending === 'throws') throw new Error('early');
      };
      let ended = false;
      const result = run([careless], () => handled.promise).finally(() => (ended = true));
      result.catch(() => undefined);
      await new Promise(setImmediate);
      assert.equal(ended, false);
      handled.resolve('late');
      if (ending === 'returns') assert.equal(await result, 'late');
      else await assert.rejects(result, /early/);
    }
    const careless: Middleware = (_, next) => {
      void next();
    };
    await assert.rejects(
      run([careless], () => Promise.reject(new Error('unseen'))),
      /unseen/,
    );
  });

  it('fails the attempt by a second call of next(), even one that it ignores', async () => {
    let calls = 0;
    const twice: Middleware = async (_, next) => {
      const result = await next();
      void next();
      return result;
    };
    await assert.rejects(
      run([twice], () => (calls += 1)),
      { code: 'INVALID_MIDDLEWARE', message: /next\(\) twice around some\.task/ },
    );
    assert.equal(calls, 1);
    let late: () => Promise<unknown> = () => assert.fail();
    assert.equal(await run([(_, next) => void (late = next)], () => (calls += 1)), undefined);
    await assert.rejects(late(), { code: 'INVALID_MIDDLEWARE', message: /after it had ended/ });
    assert.equal(calls, 1);
  });
});
