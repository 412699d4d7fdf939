import assert from 'node:assert/strict';
import { test } from 'node:test';
import { untilQuiet } from '../../../bench/harness/quiet.js';

test('a run waits until the load is under 1, says so once, and goes on on a machine that stays busy', async () => {
  for (const [loads, looked, said] of [
    [[0.99], 1, 0],
    [[2, 2, 1, 0.5, 3], 4, 1],
    [Array.from({ length: 20 }, () => 4), 10, 1],
  ] as const) {
    const [left, lines]: [number[], string[]] = [[...loads], []];
    await untilQuiet((line) => lines.push(line), { load: () => left.shift() ?? 0, lookMs: 1, patienceMs: 10 });
    assert.deepEqual([loads.length - left.length, lines.length], [looked, said]);
  }
});
