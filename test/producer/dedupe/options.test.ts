import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import type { EnqueueOptions } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { dedupeKeyOf } from '../../../shared/task/dedupe.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.unknown(), retention: KEEP });

test('a bad deduplication is refused, naming the field, before anything is written', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const bad: [dedupe: unknown, field: string, ...others: object[]][] = [
    ['k', 'dedupe'],
    [[], 'dedupe'],
    [{}, 'dedupe.key'],
    [{ key: '' }, 'dedupe.key'],
    [{ key: 7 }, 'dedupe.key'],
    [{ key: 'x'.repeat(257) }, 'dedupe.key'],
    [{ key: 'a\nb' }, 'dedupe.key'],
    [{ key: 'k', mode: 'always' }, 'dedupe.mode'],
    [{ key: 'k', ttl: 5 }, 'dedupe.ttl'],
    [{ key: 'k', withinMs: 5 }, 'dedupe.withinMs'],
    [{ key: 'k', mode: 'throttle' }, 'dedupe.withinMs'],
    [{ key: 'k', mode: 'throttle', withinMs: 0 }, 'dedupe.withinMs'],
    [{ key: 'k', mode: 'debounce', withinMs: 1.5 }, 'dedupe.withinMs'],
    [{ key: 'k', mode: 'debounce', withinMs: 3.2e11 }, 'dedupe.withinMs'],
    [{ key: 'k', mode: 'debounce', withinMs: 5 }, 'delay', { delay: 10 }],
  ];
  for (const [dedupe, field, more = {}] of bad)
    await assert.rejects(producer.enqueue(note, {}, { dedupe, ...more } as EnqueueOptions), (error) => {
      assert.ok(isFleetError(error, 'INVALID_OPTION'), `${JSON.stringify(dedupe)}: ${String(error)}`);
      assert.deepEqual([error.details['field'], error.details['exists'] ?? false], [field, false], error.message);
      return true;
    });
  await assert.rejects(producer.schedules.upsert('s', note, {}, { every: 60_000, dedupe: { key: 'k' } } as object), {
    code: 'INVALID_OPTION',
    message: 'Bad schedule: dedupe: expected none: overlap decides which tasks of a schedule run.',
    details: { field: 'dedupe' },
  });
  assert.deepEqual(await fleet.written(keyPrefix), []);
});

test("a task's key is its deduplication id without its name; another program's id is shown whole", () => {
  assert.equal(dedupeKeyOf('note.take', 'note.take:a:b'), 'a:b');
  assert.equal(dedupeKeyOf('note.take', 'note.take2:a'), 'note.take2:a');
  assert.equal(dedupeKeyOf(null, 'x'), 'x');
  assert.equal(dedupeKeyOf('note.take', null), null);
});
