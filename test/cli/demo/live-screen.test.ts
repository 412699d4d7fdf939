import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeBatch } from '../../../cli/demo/batch.js';
import { LiveScreen } from '../../../cli/demo/live-screen.js';
import { TaskRow } from '../../../cli/demo/task-row.js';

const plain = (_style: unknown, text: string): string => text;

describe('the live view', () => {
  for (const [columns, rows] of [
    [100, 50],
    [80, 24],
    [40, 8],
  ] as const) {
    it(`fits into a terminal of ${columns} by ${rows}, and draws over what it drew before`, () => {
      let written = '';
      const out = { columns, rows, isTTY: true, write: (text: string) => (written += text) } as unknown as NodeJS.WriteStream;
      const screen = new LiveScreen(out, plain, Date.now());
      screen.show(makeBatch('.').map((task) => new TaskRow(task)));
      screen.tell('first');
      written = '';
      screen.tell('second');
      screen.close();
      // eslint-disable-next-line no-control-regex -- the terminal's control sequences are what this is about
      const [up, frame] = /\r\u001b\[(\d+)A([^]*?)\u001b\[J/.exec(written)?.slice(1) ?? [];
      const lines = (frame ?? '').replaceAll('\u001b[K', '').trimEnd().split('\n');
      assert.equal(lines[0], 'second');
      assert.equal(Number(up), lines.length - 1);
      assert.ok(lines.length - 1 < rows);
      assert.ok(lines.every((line) => line.length < columns));
    });
  }
});
