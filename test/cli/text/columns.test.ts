import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { PLAIN, paintOf, toneOf } from '../../../cli/text/colour.js';
import { type ListColumn, columnsOption, listLines } from '../../../cli/text/columns.js';
import { TASK_STATES } from '../../../shared/task/state.js';

interface Row {
  readonly id: string;
  readonly size: number;
  readonly note?: string;
}

const COLUMNS: readonly ListColumn<Row>[] = [
  { name: 'id', text: ({ id }) => id },
  { name: 'size', numeric: true, text: ({ size }) => String(size), tone: ({ size }) => (size > 9 ? 'bad' : null) },
  { name: 'note', shown: 'filled', flexible: true, text: ({ note }) => note ?? null },
  { name: 'last_seen', shown: 'chosen', text: () => 'never' },
];
const ROWS: readonly Row[] = [
  { id: 'a', size: 9 },
  { id: 'bb', size: 10 },
];
const terminal = { isTTY: true };
const plain = { now: 0, width: Infinity, paint: PLAIN };

describe('columns of a list', () => {
  it('show what every row has, and optional ones only with values or by choice', () => {
    assert.deepEqual(listLines(COLUMNS, ROWS, plain), ['ID  SIZE', 'a      9', 'bb    10']);
    assert.deepEqual(listLines(COLUMNS, [{ id: 'c', size: 1, note: 'n' }], plain), ['ID  SIZE  NOTE', 'c      1  n']);
    assert.deepEqual(listLines(COLUMNS, ROWS, { ...plain, names: ['last_seen', 'note', 'id'] }), [
      'LAST SEEN  NOTE  ID',
      'never      -     a',
      'never      -     bb',
    ]);
  });

  it('are chosen by name; an unknown one is refused with the valid ones', () => {
    const { parseArg } = columnsOption(COLUMNS);
    assert.deepEqual(parseArg?.('Size, id', undefined), ['size', 'id']);
    assert.throws(() => parseArg?.('id,sizes,', undefined), {
      message: 'There is no column "sizes", "". Expected names separated by commas, of: id, size, note, last_seen.',
    });
  });

  it('colour their cells, also those of a line that is cut', () => {
    const paint = paintOf({ env: {} }, terminal);
    const lines = listLines(COLUMNS, ROWS, { ...plain, paint });
    assert.deepEqual(lines.map(stripVTControlCharacters), listLines(COLUMNS, ROWS, plain));
    assert.equal(lines[2], `bb  ${paint('bad', '  10')}`);
    const [, , cut] = listLines(COLUMNS, ROWS, { ...plain, paint, width: 7 });
    assert.equal(stripVTControlCharacters(cut as string), 'bb    …');
  });
});

describe('colours', () => {
  it('are used on a terminal, unless the environment decides', () => {
    const cases: [env: Record<string, string>, terminal: boolean, coloured: boolean][] = [
      [{}, true, true],
      [{}, false, false],
      [{ NO_COLOR: '1' }, true, false],
      [{ NO_COLOR: '' }, true, true],
      [{ TERM: 'dumb' }, true, false],
      [{ FORCE_COLOR: '1' }, false, true],
      [{ FORCE_COLOR: '' }, false, true],
      [{ FORCE_COLOR: '0' }, true, false],
      [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false, true],
    ];
    for (const [env, isTTY, coloured] of cases)
      assert.equal(paintOf({ env }, { isTTY })('bad', 'x') !== 'x', coloured, JSON.stringify([env, isTTY]));
  });

  it('tell failed, running and completed tasks apart', () => {
    assert.deepEqual(
      ['failed', 'running', 'completed'].map((state) => toneOf(state as (typeof TASK_STATES)[number])),
      ['bad', 'active', 'good'],
    );
  });
});
