import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { UIMessageChunk } from 'ai';
import { ChunkWriter } from '../../ai/chunk-writer.js';

const text = (delta: string, id = '1'): UIMessageChunk => ({ type: 'text-delta', id, delta });
const argument = (inputTextDelta: string, toolCallId = 'c'): UIMessageChunk => ({ type: 'tool-input-delta', toolCallId, inputTextDelta });

test('The first delta is written at once, those that follow closely become one; others stay apart', (t) => {
  t.mock.method(performance, 'now', () => 0);
  const written: UIMessageChunk[] = [];
  const writer = new ChunkWriter((chunk) => void written.push(chunk));
  writer.write({ type: 'text-start', id: '1' });
  for (const delta of ['a', 'b', 'c']) writer.write(text(delta));
  writer.write(text('d', '2'));
  writer.write({ type: 'reasoning-delta', id: '2', delta: 'e' });
  for (const part of ['{', '}']) writer.write(argument(part));
  writer.write(argument('[]', 'd'));
  writer.write({ type: 'text-delta', id: '1', delta: 'f', providerMetadata: { x: { y: 1 } } });
  writer.write({ type: 'text-end', id: '1' });
  assert.deepEqual(written, [
    { type: 'text-start', id: '1' },
    text('a'),
    text('bc'),
    text('d', '2'),
    { type: 'reasoning-delta', id: '2', delta: 'e' },
    argument('{}'),
    argument('[]', 'd'),
    { type: 'text-delta', id: '1', delta: 'f', providerMetadata: { x: { y: 1 } } },
    { type: 'text-end', id: '1' },
  ]);
});

test('An answer of any length fits into a stream of 10,000 entries', (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  let [entries, words] = [0, ''];
  const writer = new ChunkWriter((chunk) => {
    entries += 1;
    if (chunk.type === 'text-delta') words += chunk.delta;
  });
  // Ten minutes at a hundred tokens a second.
  for (let n = 0; n < 60_000; n += 1) {
    writer.write(text(`${n},`));
    now += 10;
    mock.timers.tick(10);
    if (n === 100) assert.ok(entries > 48, 'short answers flow');
  }
  writer.flush();
  assert.ok(entries < 6_000, `${entries} entries`);
  assert.equal(words, Array.from({ length: 60_000 }, (_, n) => `${n},`).join(''));
});

test('An error of a late write is thrown by the next call', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  let refuses = false;
  const writer = new ChunkWriter(() => {
    if (refuses) throw new Error('refused');
  });
  writer.write(text('a'));
  writer.write(text('b'));
  refuses = true;
  mock.timers.tick(1_000);
  assert.throws(() => writer.write(text('c')), /refused/);
  writer.close();
});
