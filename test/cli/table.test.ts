import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAge } from '../../cli/age.js';
import { printable } from '../../cli/output.js';
import { progressText } from '../../cli/progress.js';
import { cut, renderTable } from '../../cli/table.js';

const COLUMNS = [{ header: 'ID' }, { header: 'ITEM', flexible: true }, { header: 'N' }] as const;

describe('tables', () => {
  it('align their columns, also where a character takes two', () => {
    const lines = renderTable(COLUMNS, [['1', '漢字', 'x'], ['22', 'plain', 'y']], Infinity);
    assert.deepEqual(lines, ['ID  ITEM   N', '1   漢字   x', '22  plain  y']);
  });

  it('cut flexible columns until a line fits', () => {
    const lines = renderTable(COLUMNS, [['1', 'a very long item indeed', 'x']], 20);
    assert.deepEqual(lines, ['ID  ITEM           N', '1   a very long …  x']);
    assert.deepEqual(renderTable(COLUMNS, [['0123456789', 'a very long item', 'x']], 12), ['ID         …', '0123456789 …']);
  });

  it('cut a text at whole characters', () => {
    assert.deepEqual([cut('abc', 3), cut('abcd', 3), cut('👩‍👩‍👧 family', 4)], ['abc', 'ab…', '👩‍👩‍👧 …']);
  });
});

describe('texts for people', () => {
  it('give an age in its largest unit', () => {
    const ages = [-5, 0, 999, 1_000, 59_999, 60_000, 7_200_000, 200_000_000].map(formatAge);
    assert.deepEqual(ages, ['0s', '0s', '0s', '1s', '59s', '1m', '2h', '2d']);
  });

  it('give a progress in a few words', () => {
    const texts = [null, 0, 40.4, { done: 3, total: 7 }, { step: 'two' }].map(progressText);
    assert.deepEqual(texts, ['-', '-', '40%', '3/7', '{"step":"two"}']);
  });

  it('leave out what could take over a terminal', () => {
    assert.equal(printable('a\u001b[2Jb\rc\td\n'), 'a[2Jbc\td\n');
  });
});
