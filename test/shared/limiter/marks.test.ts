import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { isFleetError } from '../../../shared/errors.js';
import { limitsOf, marksIn, marksOf, presetSteps, readMarks, stepsOf } from '../../../shared/limiter/marks.js';
import { type TaskOptions, defineTask } from '../../../shared/task/definition.js';
import { readOptions } from '../../../shared/task/job-options.js';

interface Question {
  readonly tenant?: string | null;
  readonly tokens?: number;
}

const input = z.custom<Question>();
const define = (options: Partial<TaskOptions<Question, unknown>>) => defineTask({ name: 'chat.ask', input, ...options });
const tenant = ({ input: { tenant: name } }: { input: Question }): string | null | undefined => name;
const TASK = { input: { tenant: 'acme', tokens: 900 }, item: 'chat:1' };

test('a task acquires the places of keys, its turn, rates, then places without a key', () => {
  const definition = define({
    concurrency: [
      { limit: 100 },
      { by: tenant, limit: 5, group: 'gpu', maxWaiting: 9 },
      { limit: 50, group: 'gpu' },
      { by: 'item', limit: 1 },
    ],
    rate: [
      { limit: 60, per: '1m' },
      { limit: 90_000, per: '1m', by: 'item', cost: (task) => task.input.tokens ?? 0 },
    ],
    fair: { by: tenant },
  });
  const marks = marksOf(definition, TASK);
  assert.deepEqual(marks, [
    { kind: 'place', id: 'task:chat.ask:chat:1', limit: 'task:chat.ask#1', max: 1 },
    { kind: 'place', id: 'group:gpu:acme', limit: 'group:gpu#0', max: 5 },
    { kind: 'turn', id: 'queue:chat:acme', limit: 'turn', max: 1 },
    { kind: 'rate', id: 'rate:task:chat.ask#0:', limit: 'rate:task:chat.ask#0', max: [60, 60_000, 6] },
    { kind: 'rate', id: 'rate:task:chat.ask#1:chat:1', limit: 'rate:task:chat.ask#1', max: [90_000, 60_000, 9_000], cost: 900 },
    { kind: 'place', id: 'task:chat.ask:', limit: 'task:chat.ask#0', max: 100 },
    { kind: 'place', id: 'group:gpu:', limit: 'group:gpu#1', max: 50 },
  ]);
  const steps = limitsOf(definition, TASK) ?? [];
  assert.deepEqual(
    steps.map(({ keyed, maxWaiting }) => [keyed, maxWaiting]),
    [
      [true, undefined],
      [true, 9],
      [true, undefined],
      [false, undefined],
      [true, undefined],
      [false, undefined],
      [false, undefined],
    ],
  );
  assert.deepEqual(marksIn(steps), marks);
});

test('a limit whose key is missing does not apply; without any limit there are no marks', () => {
  const definition = define({
    concurrency: [
      { by: tenant, limit: 5 },
      { by: 'item', limit: 1 },
    ],
  });
  const ids = (task: typeof TASK | object) => marksOf(definition, { input: {}, item: null, ...task })?.map(({ id }) => id) ?? null;
  assert.deepEqual(ids({ item: 'a' }), ['task:chat.ask:a']);
  assert.deepEqual(ids({ input: { tenant: 'b' } }), ['task:chat.ask:b']);
  assert.equal(ids({ input: { tenant: null } }), null);
  assert.equal(marksOf(define({}), TASK), null);
  const { concurrency: _, rate: __, fair: ___, ...older } = define({});
  assert.equal(marksOf(older, TASK), null);
});

test('two entries that give the same key become one with the lower limit', () => {
  for (const [first, second] of [
    [5, 2],
    [2, 5],
  ] as const) {
    const definition = define({
      concurrency: [
        { by: tenant, limit: first },
        { by: 'item', limit: second },
      ],
    });
    const marks = marksOf(definition, { input: { tenant: 'same' }, item: 'same' });
    assert.deepEqual(
      marks?.map(({ id, max }) => [id, max]),
      [['task:chat.ask:same', 2]],
    );
  }
});

test('a key or cost that fails is an error of the input that names the entry', () => {
  const failing = (options: Partial<TaskOptions<Question, unknown>>, message: RegExp, field: string): void => {
    assert.throws(
      () => marksOf(define(options), TASK),
      (error) => isFleetError(error, 'INVALID_INPUT') && message.test(error.message) && error.details['field'] === field,
      String(message),
    );
  };
  const second = (by: unknown) => ({ concurrency: [{ limit: 1 }, { by: by as () => string, limit: 1 }] });
  const thrown = (): never => {
    throw new Error('no tenant');
  };
  failing(second(thrown), /^Bad input for chat\.ask: concurrency\[1\]\.by failed \(no tenant\)\.$/, 'concurrency[1].by');
  failing(
    second(() => 7),
    /concurrency\[1\]\.by returned a bad key: expected a string, got number/,
    'concurrency[1].by',
  );
  failing(
    second(() => ''),
    /expected 1 to 256 characters, got 0/,
    'concurrency[1].by',
  );
  failing(
    second(async () => 'late'),
    /expected a string, got object/,
    'concurrency[1].by',
  );
  failing({ fair: { by: () => 'a\nb' } }, /fair\.by returned a bad key: expected no control characters/, 'fair.by');
  failing({ rate: { limit: 1, per: '1s', by: thrown } }, /rate\[0\]\.by failed/, 'rate[0].by');
  for (const bad of [-1, Number.NaN, Infinity, '5'])
    failing({ rate: { limit: 1, per: '1s', cost: () => bad as number } }, /rate\[0\]\.cost returned a bad cost/, 'rate[0].cost');
});

test('the steps follow the definition that runs', () => {
  const marks = marksOf(define({ concurrency: [{ by: 'item', limit: 1 }, { limit: 100 }], rate: { limit: 60, per: '1m' } }), TASK) ?? [];
  const deployed = define({ concurrency: { by: 'item', limit: 3, maxWaiting: 7 }, rate: { limit: 6, per: '1s', burst: 6 } });
  assert.deepEqual(
    stepsOf(deployed, marks).map(({ id, max, maxWaiting }) => [id, max, maxWaiting]),
    [
      ['task:chat.ask:chat:1', 3, 7],
      ['rate:task:chat.ask#0:', [6, 1_000, 6], undefined],
    ],
  );
  assert.deepEqual(stepsOf(define({}), marks), []);
  assert.deepEqual(
    stepsOf(null, marks).map(({ id, max, keyed }) => [id, max, keyed]),
    [
      ['task:chat.ask:chat:1', 1, true],
      ['rate:task:chat.ask#0:', [60, 60_000, 6], false],
      ['task:chat.ask:', 100, false],
    ],
  );
});

test('steps computed in a thread replace the functions of the definition', () => {
  const definition = define({ concurrency: { by: tenant, limit: 5, maxWaiting: 2 } });
  const steps = structuredClone(limitsOf(definition, TASK)) ?? [];
  const portable = define({});
  presetSteps(portable, steps);
  assert.deepEqual(limitsOf(portable, { input: {}, item: null }), steps);
});

test('marks that another program wrote wrongly are left out of the options', () => {
  const good = [{ kind: 'place', id: 'task:a:', limit: 'task:a#0', max: 1 }];
  assert.deepEqual(readOptions({ limits: good }).limits, good);
  const bad = [
    'x',
    {},
    [],
    [null],
    [{ ...good[0], kind: 'lock' }],
    [{ ...good[0], max: [1, 2, 3] }],
    [{ ...good[0], id: 7 }],
    [{ ...good[0], cost: 'much' }],
    [{ kind: 'rate', id: 'rate:task:a#0:', limit: 'rate:task:a#0', max: [1, 0, 1] }],
  ];
  for (const limits of bad) {
    assert.equal(readMarks(limits), null);
    const notes: string[] = [];
    assert.equal(readOptions(JSON.stringify({ limits }), { note: (text) => notes.push(text) }).limits, undefined);
    assert.match(notes.join(), /^opts\.limits: expected a list of limits/);
  }
});
