import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printable } from '../../../cli/text/output.js';
import { progressText } from '../../../cli/text/progress-text.js';
import { cut, formatAge, renderTable } from '../../../cli/text/table.js';

const COLUMNS = [{ header: 'ID' }, { header: 'ITEM', flexible: true }, { header: 'N' }] as const;

// eslint-disable-next-line no-control-regex -- matches control characters on purpose
const ESCAPES = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

describe('tables', () => {
  it('align their columns, also with wide characters', () => {
    const lines = renderTable(
      COLUMNS,
      [
        ['1', '漢字', 'x'],
        ['22', 'plain', 'y'],
      ],
      Infinity,
    );
    assert.deepEqual(lines, ['ID  ITEM   N', '1   漢字   x', '22  plain  y']);
  });

  it('truncate flexible columns until a line fits', () => {
    const lines = renderTable(COLUMNS, [['1', 'a very long item indeed', 'x']], 20);
    assert.deepEqual(lines, ['ID  ITEM           N', '1   a very long …  x']);
    assert.deepEqual(renderTable(COLUMNS, [['0123456789', 'a very long item', 'x']], 12), ['ID         …', '0123456789 …']);
  });

  it('escape control characters of every cell, on one line and in its column', () => {
    const evil = '\u001b[31mred\u001b[0m\r\n\u009bK\u0007\u202e';
    const lines = renderTable(
      COLUMNS,
      [
        [evil, evil, evil],
        ['1', 'plain', 'y'],
      ],
      Infinity,
    );
    assert.equal(lines.length, 3);
    for (const line of lines) assert.doesNotMatch(line, ESCAPES);
    assert.equal(lines[2]?.indexOf('plain'), lines[0]?.indexOf('ITEM'));
  });

  it('truncate a text at whole characters', () => {
    assert.deepEqual([cut('abc', 3), cut('abcd', 3), cut('👩‍👩‍👧 family', 4)], ['abc', 'ab…', '👩‍👩‍👧 …']);
  });
});

describe('terminal texts', () => {
  it('format an age in its largest unit', () => {
    const ages = [-5, 0, 999, 1_000, 59_999, 60_000, 7_200_000, 200_000_000].map(formatAge);
    assert.deepEqual(ages, ['0s', '0s', '0s', '1s', '59s', '1m', '2h', '2d']);
  });

  it('format progress', () => {
    const texts = [null, 0, 40.4, { done: 3, total: 7 }, { step: 'two' }].map(progressText);
    assert.deepEqual(texts, ['-', '-', '40%', '3/7', '{"step":"two"}']);
  });

  it('make control characters visible, and keep JSON equal', () => {
    assert.equal(printable('a\u001b[2Jb\rc\td\n'), 'a␛[2Jb␍c\td\n');
    assert.equal(printable('\u009b31m \u007f \u202e \u2066 \u200f'), String.raw`\u009b31m \u007f \u202e \u2066 \u200f`);
    assert.equal(printable('👩‍👩‍👧 漢字 ü'), '👩‍👩‍👧 漢字 ü');
    const value = { text: Array.from({ length: 0x300 }, (_, code) => String.fromCharCode(code)).join('') + '\u202e\u2066' };
    const shown = printable(JSON.stringify(value));
    assert.deepEqual(JSON.parse(shown), value);
    assert.doesNotMatch(shown, ESCAPES);
  });
});
