import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { isFleetError, messageOf } from '../../../shared/errors.js';
import { type TaskOptions, defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { jobOptions } from '../../../shared/task/job-options.js';
import { TASK_STATES, isTerminal, taskState } from '../../../shared/task/state.js';
import { BUILTIN_DEFINITIONS } from '../../../worker/builtin/definitions.js';

const input = z.object({ n: z.number() });
const retention = { completed: { ageMs: 3_600_000, count: 10 }, failed: { ageMs: 604_800_000, count: 5 } };

function problemOf(options: unknown): string {
  try {
    defineTask(options as TaskOptions<unknown, unknown>);
  } catch (error) {
    assert.ok(isFleetError(error, 'INVALID_DEFINITION'), String(error));
    return messageOf(error);
  }
  throw new assert.AssertionError({ message: 'the definition was accepted' });
}

test('a definition requires a name, an input and a retention; the rest has defaults', () => {
  const { input: _input, ...rest } = defineTask({ name: 'report.build', input, retention });
  assert.deepEqual(rest, {
    name: 'report.build',
    queue: 'report',
    shards: 1,
    output: null,
    retry: { attempts: 1, backoff: { type: 'exponential', delayMs: 1_000, maxDelayMs: 3_600_000, jitter: 0.2 }, except: [] },
    timeoutMs: null,
    deadlineMs: null,
    retryOnTimeout: false,
    retention,
  });
});

test('setting one part keeps the defaults of the others', () => {
  const task = defineTask({ name: 'a', queue: 'other', input, retry: { attempts: 4, backoff: { jitter: 0 } }, retention });
  assert.equal(task.queue, 'other');
  assert.deepEqual(task.retry, {
    attempts: 4,
    backoff: { type: 'exponential', delayMs: 1_000, maxDelayMs: 3_600_000, jitter: 0 },
    except: [],
  });
  const slow = defineTask({ name: 'a', input, retry: { attempts: 2, backoff: { delayMs: 7_200_000 } }, retention });
  assert.equal(slow.retry.backoff.maxDelayMs, 7_200_000, 'never below the first delay');
});

test('a definition keeps the given schema objects, and is frozen', () => {
  const output = z.string();
  const task = defineTask({ name: 'a', input, output, retention });
  assert.equal(task.input, input);
  assert.equal(task.output, output);
  assert.ok(Object.isFrozen(task));
});

test('all invalid fields are named in one message', () => {
  assert.match(problemOf({ name: 'a:b', input }), /^Bad task definition "a:b": name: expected letters, digits/);
  assert.match(problemOf({ name: 'a' }), /input: expected a zod schema/);
  assert.match(problemOf({ name: 'a', input: 'string' }), /input: expected a zod schema/);
  assert.match(problemOf({ name: 'a', input, output: {} }), /output: expected a zod schema/);
  assert.match(problemOf({ name: 'a', input, queue: 'x y' }), /queue: expected letters/);
  assert.match(problemOf({ name: 'a', input, retry: { attempts: 0 } }), /retry\.attempts: /);
  assert.match(problemOf({ name: 'a', input, retry: { backoff: { type: 'linear' } } }), /retry\.backoff\.type: /);
  assert.match(
    problemOf({ name: 'a', input, retry: { backoff: { delayMs: 20, maxDelayMs: 10 } } }),
    /retry\.backoff\.maxDelayMs: expected delayMs or more/,
  );
  assert.match(problemOf({ name: 'a', input, retry: { except: [RangeError] } }), /retry\.except\.0: expected the name of an error/);
  assert.match(problemOf({ name: 'a', input, timeout: 5 }), /"timeout"/, 'a misspelt option is not ignored');
  assert.match(problemOf({ name: 7, input, timeoutMs: 0 }), /^Bad task definition: name: .*; timeoutMs: /);
  for (const nothing of [undefined, null, 'a', []]) assert.match(problemOf(nothing), /^Bad task definition: /);
});

test('a definition without a retention is refused, with an example', () => {
  const { completed, failed } = retention;
  assert.match(
    problemOf({ name: 'a', input }),
    /: retention: state what is kept of ended tasks, for example \{ completed: \{ ageMs: 3_600_000, count: 1_000 \}, failed: /,
  );
  assert.match(
    problemOf({ name: 'a', input, retention: { completed } }),
    /: retention\.failed: state what is kept of failed and cancelled tasks, for example \{ ageMs: /,
  );
  assert.match(
    problemOf({ name: 'a', input, retention: { failed } }),
    /: retention\.completed: state what is kept of completed tasks, for example \{ ageMs: /,
  );
  assert.match(
    problemOf({ name: 'a', input, retention: { completed: { count: 1 }, failed } }),
    /: retention\.completed\.ageMs: state for how many ms/,
  );
  assert.match(
    problemOf({ name: 'a', input, retention: { completed, failed: { ageMs: 1_000 } } }),
    /: retention\.failed\.count: state how many/,
  );
  assert.match(
    problemOf({ name: 'a', input, retention: { completed: { ageMs: 1, count: -1 }, failed } }),
    /retention\.completed\.ageMs: Too small.*retention\.completed\.count: Too small/,
  );
});

test('a handler requires a definition and a function', () => {
  const task = defineTask({ name: 'a.b', input, retention });
  assert.throws(
    () => defineHandler({} as typeof task, () => null),
    (error) => isFleetError(error, 'INVALID_DEFINITION'),
  );
  assert.throws(
    () => defineHandler(undefined as unknown as typeof task, () => null),
    (error) => isFleetError(error, 'INVALID_DEFINITION'),
  );
  assert.throws(() => defineHandler(task, 'run' as unknown as () => null), /defineHandler\("a\.b"\): expected a function/);
});

test('a handler is isolated never, always or depending on its input', () => {
  const task = defineTask({ name: 'a', input, retention });
  assert.deepEqual([defineHandler(task, () => null).isolated({}), defineHandler(task, () => null).alwaysIsolated], [false, false]);
  assert.deepEqual(
    [defineHandler(task, () => null, { isolate: true }).isolated({}), defineHandler(task, () => null, { isolate: true }).alwaysIsolated],
    [true, true],
  );
  const byInput = defineHandler(task, () => null, { isolate: ({ n }) => n > 1 });
  assert.deepEqual([byInput.isolated({ n: 1 }), byInput.isolated({ n: 2 }), byInput.alwaysIsolated], [false, true, false]);
});

test("every job of a definition has the same options object, in BullMQ's units", () => {
  const task = defineTask({
    name: 'a',
    input,
    retry: { attempts: 3, backoff: { type: 'fixed', delayMs: 50, jitter: 0 } },
    retention: { ...retention, completed: { ageMs: 1_500, count: 0 } },
  });
  const options = jobOptions(task);
  assert.equal(jobOptions(task), options);
  assert.equal(options.attempts, 3);
  assert.deepEqual(options.backoff, { type: 'fixed', delay: 50, jitter: 0 });
  assert.deepEqual(options.removeOnComplete, { age: 2, count: 0 });
  assert.deepEqual(options.removeOnFail, { age: 604_800, count: 5 });
  assert.equal(jobOptions(defineTask({ name: 'b', input, retention })).backoff, undefined);
  const doubling = defineTask({ name: 'c', input, retry: { attempts: 3, backoff: { maxDelayMs: 5_000 } }, retention });
  assert.deepEqual(jobOptions(doubling).backoff, { type: 'exponential', delay: 1_000, jitter: 0.2, maxDelay: 5_000 });
});

test('the built-in tasks have names and queues of their own', () => {
  const on = (wanted: string): string[] => BUILTIN_DEFINITIONS.flatMap(({ name, queue }) => (queue === wanted ? [name] : []));
  assert.deepEqual([...new Set(BUILTIN_DEFINITIONS.map(({ queue }) => queue))].toSorted(), ['chat', 'documents', 'fleet', 'maintenance']);
  assert.deepEqual([on('chat'), on('documents'), on('fleet')], [['chat.completion'], ['document.index'], ['fleet.canary']]);
  assert.deepEqual(on('maintenance'), [
    'billing.init-plans',
    'models.refresh',
    'registry.reconcile',
    'session-pool.clean',
    'usage-pool.clean',
  ]);
});

test('the state follows from the place of the job, its stop and its failed attempts', () => {
  const table = [
    ['completed', false, 0, 'completed'],
    ['completed', true, 0, 'completed'],
    ['failed', false, 1, 'failed'],
    ['failed', true, 1, 'cancelled'],
    ['active', false, 0, 'running'],
    ['active', true, 0, 'stopping'],
    ['active', false, 2, 'running'],
    ['delayed', false, 0, 'scheduled'],
    ['delayed', false, 1, 'retrying'],
    ['delayed', true, 0, 'stopping'],
    ['prioritized', false, 0, 'queued'],
    ['waiting-children', false, 0, 'waiting'],
    ['waiting-children', false, 1, 'waiting'],
    ['waiting-children', true, 0, 'stopping'],
    ['waiting', false, 0, 'queued'],
    ['waiting', false, 1, 'retrying'],
    ['waiting', true, 1, 'stopping'],
  ] as const;
  for (const [place, stopped, attempts, state] of table)
    assert.equal(taskState(place, stopped, attempts), state, `${place} ${stopped} ${attempts}`);
  assert.deepEqual(TASK_STATES.filter(isTerminal), ['completed', 'failed', 'cancelled']);
});
