import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { UIMessage, UIMessageChunk } from 'ai';
import { runHandler } from 'taskfleet/testing';
import { finish, modelOf, say } from './model.js';

process.env.HISTORY = await mkdtemp(join(tmpdir(), 'chats-'));
const { answerWith } = await import('../src/answer.js');
const { readMessages } = await import('../src/history.js');

const question: UIMessage = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'How are you?' }] };
const input = { messages: [question] };
const textOf = (chunks: readonly UIMessageChunk[]) => chunks.map((chunk) => (chunk.type === 'text-delta' ? chunk.delta : '')).join('');

test('The answer is streamed, kept in the history, and the result', async () => {
  const model = modelOf([...say('Very ', 'well.'), finish()]);
  const { outcome, chunks, result } = await runHandler(answerWith(model), input, { id: 'task-1', item: 'chat-1' });
  assert.equal(outcome, 'completed');
  assert.equal(textOf(chunks), 'Very well.');
  assert.deepEqual(chunks[0], { type: 'start', messageId: 'task-1' });
  assert.deepEqual(result?.parts.at(-1), { type: 'text', text: 'Very well.', state: 'done' });
  assert.deepEqual(
    (await readMessages('chat-1')).map(({ id }) => id),
    ['task-1'],
  );
});

test('A stop ends the model’s stream at once, and the history keeps what was said', async () => {
  const model = modelOf([...say(...Array.from({ length: 500 }, () => 'word ')), finish()]);
  let deltas = 0;
  let hasSaidWords = (): void => {};
  const run = await runHandler(answerWith(model), input, {
    item: 'chat-2',
    stopAfter: new Promise<void>((resolve) => (hasSaidWords = resolve)),
    stop: { reason: 'enough' },
    onChunk: ({ type }) => {
      if (type === 'text-delta' && (deltas += 1) === 3) hasSaidWords();
    },
  });
  assert.equal(run.outcome, 'cancelled');
  assert.equal(run.heededSignal, true);
  assert.deepEqual(run.chunks.at(-1), { type: 'abort', reason: 'enough' });
  const [kept] = await readMessages('chat-2');
  assert.match(JSON.stringify(kept?.parts), /word word/);
});

test('A failed model fails the attempt with its own error, and no reader sees it before the last attempt', async () => {
  const model = modelOf([...say('Well').slice(0, 2), { type: 'error', error: new Error('out of tokens') }]);
  const run = await runHandler(answerWith(model), input, { item: 'chat-3' });
  assert.deepEqual([run.outcome, run.error?.message, run.willRetry], ['failed', 'out of tokens', true]);
  assert.equal(
    run.chunks.some(({ type }) => type === 'error' || type === 'abort'),
    false,
  );
});
