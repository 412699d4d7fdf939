import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkText } from '../../../dashboard/page/parts/chunk-text.js';

const reasoning = (text: string) => ({ type: 'reasoning', text });
const call = (index: number, name: string | null, given: string) => ({ type: 'tool_call', index, id: null, name, arguments: given });

const cases: [what: string, chunks: readonly unknown[], text: string][] = [
  ['text continues text', ['a', '', 'b\n', 'c'], 'ab\nc'],
  [
    'reasoning has lines of its own',
    [reasoning('Hm'), reasoning(', so'), 'Yes', ' it is', reasoning('wait')],
    'reasoning: Hm, so\nYes it is\nreasoning: wait',
  ],
  ['reasoning that ends its line leaves no empty one', [reasoning('Hm\n'), 'Yes'], 'reasoning: Hm\nYes'],
  [
    'calls of tools are told apart',
    ['a', call(0, 'f', ''), call(0, null, '{'), call(0, null, '}'), call(1, 'g', '1')],
    'a\ntool call 1: f {}\ntool call 2: g 1',
  ],
  ['anything else is a line of JSON', ['a', { n: 1 }, null, 5, 'b'], 'a\n{"n":1}\nnull\n5\nb'],
  [
    'what only looks like one of ours is JSON too',
    [{ type: 'reasoning' }, { type: 'tool_call', index: 0 }],
    '{"type":"reasoning"}\n{"type":"tool_call","index":0}\n',
  ],
];
for (const [what, chunks, expected] of cases) {
  test(`${what}, on the terminal and on the page`, () => {
    const text = new ChunkText();
    assert.equal(chunks.map((chunk) => text.add(chunk)).join(''), expected);
  });
}

test('a line between the chunks begins and ends one', () => {
  const text = new ChunkText();
  assert.equal(
    [text.add(reasoning('Hm')), text.line('state running'), text.add(reasoning('so')), text.endLine(), text.endLine()].join(''),
    'reasoning: Hm\nstate running\nreasoning: so\n',
  );
});
