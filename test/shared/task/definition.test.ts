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
const retention = {
  completed: { ageMs: 3_600_000, count: 10 },
  failed: { ageMs: 604_800_000, count: 5 },
  cancelled: { ageMs: 86_400_000, count: 1_000 },
};

function problemOf(options: unknown): string {
  try {
    defineTask(options as TaskOptions<unknown, unknown>);
  } catch (error) {
    assert.ok(isFleetError(error, 'INVALID_DEFINITION'), String(error));
    return messageOf(error);
  }
  throw new assert.AssertionError({ message: 'the definition was accepted' });
}

test('a definition requires a name and an input; the rest has defaults', () => {
  const { input: _input, ...rest } = defineTask({ name: 'report.build', input, retention });
  assert.deepEqual(rest, {
    name: 'report.build',
    queue: 'report',
    shards: 1,
    output: null,
    chunk: null,
    retry: { attempts: 1, backoff: { type: 'exponential', delayMs: 1_000, maxDelayMs: 3_600_000, jitter: 0.2 }, except: [] },
    onWorkerLost: { retries: 3 },
    timeoutMs: null,
    deadlineMs: null,
    retryOnTimeout: false,
    retention,
    concurrency: [],
    rate: [],
    fair: null,
    whenBusy: null,
    dedupe: null,
    tags: null,
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

test('each limit of a retention has a default', () => {
  const kept = (stated?: object) => defineTask({ name: 'a', input, ...(stated && { retention: stated }) }).retention;
  const all = {
    completed: { ageMs: 3_600_000, count: 1_000 },
    failed: { ageMs: 7 * 86_400_000, count: 5_000 },
    cancelled: { ageMs: 86_400_000, count: 1_000 },
  };
  assert.deepEqual(kept(), all);
  assert.deepEqual(kept({}), all);
  assert.deepEqual(kept({ failed: { count: 20 } }), { ...all, failed: { ...all.failed, count: 20 } });
  assert.deepEqual(kept({ cancelled: { ageMs: 1_000 } }), { ...all, cancelled: { ageMs: 1_000, count: 1_000 } });
  assert.match(
    problemOf({ name: 'a', input, retention: { completed: { ageMs: 1, count: -1 }, canceled: {} } }),
    /retention\.completed\.ageMs: Too small.*retention\.completed\.count: Too small.*"canceled"/,
  );
});

test('lost workers are bounded: three by default, none for a task that runs at most once', () => {
  const bound = (onWorkerLost?: object) => defineTask({ name: 'a', input, ...(onWorkerLost && { onWorkerLost }) }).onWorkerLost;
  assert.deepEqual([bound(), bound({}), bound({ retries: 0 })], [{ retries: 3 }, { retries: 3 }, { retries: 0 }]);
  for (const onWorkerLost of [{ retries: -1 }, { retries: 101 }, { retries: 1.5 }])
    assert.match(problemOf({ name: 'a', input, onWorkerLost }), /onWorkerLost\.retries: /);
  assert.match(problemOf({ name: 'a', input, onWorkerLost: { attempts: 1 } }), /onWorkerLost: Unrecognized key/);
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
  assert.equal(options.keepCancelled, undefined, 'the default is not stored with each job');
  assert.deepEqual(jobOptions(defineTask({ name: 'd', input, retention: { cancelled: { count: 7 } } })).keepCancelled, {
    age: 86_400,
    count: 7,
  });
  const { completed, failed } = retention;
  const older = { retry: task.retry, retention: { completed, failed } };
  assert.equal(jobOptions(older).keepCancelled, undefined, 'a definition of an older copy has the default');
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
    assert.equal(
      taskState(place, { stopRequested: stopped, parked: false, skipped: false, attemptsMade: attempts }),
      state,
      `${place} ${stopped} ${attempts}`,
    );
  assert.equal(taskState('completed', { stopRequested: false, parked: false, skipped: true, attemptsMade: 1 }), 'skipped');
  for (const attemptsMade of [0, 1]) {
    const parked = { parked: true, skipped: false, attemptsMade };
    assert.equal(taskState('delayed', { ...parked, stopRequested: false }), 'queued', 'a job in line is queued, not scheduled or retrying');
    assert.equal(taskState('delayed', { ...parked, stopRequested: true }), 'stopping');
  }
  assert.deepEqual(TASK_STATES.filter(isTerminal), ['completed', 'failed', 'cancelled', 'skipped']);
});
