import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rateText, timeText } from '../../../dashboard/page/parts/overview/figures.js';

test('rates and times of the overview have two or three digits', () => {
  assert.deepEqual([0, 0.054, 4.25, 99.96, 1_204.4].map(rateText), ['0', '0.05', '4.3', '100', '1,204']);
  assert.deepEqual([null, 0.4, 4.23, 840.4, 1_260, 75_000, 119_000, 204_000, 3_600_000, 9_000_000].map(timeText), [
    '–',
    '0.4 ms',
    '4.2 ms',
    '840 ms',
    '1.3 s',
    '75 s',
    '119 s',
    '3.4 min',
    '60 min',
    '2.5 h',
  ]);
});
