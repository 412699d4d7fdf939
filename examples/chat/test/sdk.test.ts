import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type UIMessage, createUIMessageStream, isStepCount, readUIMessageStream, streamText, tool } from 'ai';
import { defineHandler, defineTask } from 'taskfleet';
import { type AnswerContext, emitUIMessageStream, uiMessage, uiMessageChunk, uiMessageStreamOf } from 'taskfleet/ai';
import { runHandler } from 'taskfleet/testing';
import { z } from 'zod';
import { finish, modelOf, say } from './model.js';

// What an answer of the AI SDK is made of arrives whole, whatever it is.

const task = defineTask({ name: 'chat.any', input: z.looseObject({}), chunk: uiMessageChunk, output: uiMessage });
const run = (answer: (context: AnswerContext) => Promise<UIMessage>, options: object = {}, input: object = {}) =>
  runHandler(defineHandler(task, answer), input, { id: 't1', ...options });

/** Reads chunks as a page does. */
async function messageOf(chunks: readonly unknown[], state = 'completed'): Promise<UIMessage | undefined> {
  const stream = uiMessageStreamOf(async function* () {
    for (const [index, chunk] of chunks.entries()) yield { type: 'chunk', id: `1-${index}`, chunk };
    yield { type: 'state', id: null, state };
  });
  let last: UIMessage | undefined;
  for await (const message of readUIMessageStream({ stream, terminateOnError: true })) last = message;
  return last;
}

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('Reasoning, tool calls and their results', async () => {
  const model = modelOf(
    [
      { type: 'reasoning-start', id: 'r' },
      { type: 'reasoning-delta', id: 'r', delta: 'hmm' },
      { type: 'reasoning-end', id: 'r' },
      { type: 'tool-call', toolCallId: 'c1', toolName: 'add', input: '{"a":1,"b":2}' },
      finish('tool-calls'),
    ],
    [...say('It is ', '3.'), finish()],
  );
  const add = tool({ inputSchema: z.object({ a: z.number(), b: z.number() }), execute: ({ a, b }) => ({ sum: a + b }) });
  const { outcome, chunks, result } = await run((context) =>
    emitUIMessageStream(
      context,
      streamText({ model, prompt: '1 + 2?', tools: { add }, stopWhen: isStepCount(2), abortSignal: context.signal }),
    ),
  );
  assert.equal(outcome, 'completed');
  const message = await messageOf(chunks);
  assert.deepEqual(json(message), json(result));
  assert.deepEqual(
    message?.parts.map(({ type }) => type),
    ['step-start', 'reasoning', 'tool-add', 'step-start', 'text'],
  );
  assert.match(JSON.stringify(message?.parts[2]), /"output":\{"sum":3\}/);
});

test('Data parts before the model’s own, and files of megabytes', async () => {
  const url = `data:image/png;base64,${'QUJD'.repeat(400_000)}`;
  const { chunks } = await run((context) =>
    emitUIMessageStream(
      context,
      createUIMessageStream({
        execute: ({ writer }) => {
          writer.write({ type: 'data-weather', id: 'w', data: { degrees: 21 } });
          writer.write({ type: 'start', messageMetadata: { model: 'demo' } });
          writer.write({ type: 'file', mediaType: 'image/png', url });
        },
      }),
    ),
  );
  assert.deepEqual(chunks[0], { type: 'start', messageId: 't1' });
  const message = await messageOf(chunks);
  assert.deepEqual([message?.id, message?.metadata], ['t1', { model: 'demo' }]);
  assert.deepEqual(message?.parts, [
    { type: 'data-weather', id: 'w', data: { degrees: 21 } },
    { type: 'file', mediaType: 'image/png', url },
  ]);
});

test('A second attempt replaces the text of the first', async () => {
  const answer = (parts: Parameters<typeof modelOf>[0]) => (context: AnswerContext) =>
    emitUIMessageStream(context, streamText({ model: modelOf(parts), prompt: 'Hi', maxRetries: 0, abortSignal: context.signal }));
  const first = await run(answer([...say('Hel').slice(0, 2), { type: 'error', error: new Error('gone') }]));
  const second = await run(answer([...say('Hello'), finish()]), { attempt: 1 });
  const message = await messageOf([...first.chunks, ...second.chunks]);
  assert.deepEqual(json(message), json(second.result));
});

test('A worker that shuts down leaves no abort: the answer begins again elsewhere', async () => {
  const model = modelOf([...say(...Array.from({ length: 300 }, () => 'word ')), finish()]);
  const { outcome, chunks } = await run(
    (context) => emitUIMessageStream(context, streamText({ model, prompt: 'Hi', abortSignal: context.signal })),
    { worker: 'shutdown', workerAfter: 'first-chunk' },
  );
  assert.equal(outcome, 'requeued');
  assert.equal(
    chunks.some(({ type }) => type === 'abort' || type === 'finish'),
    false,
  );
});

test('An answer may continue the last message of the chat', async () => {
  const asked: UIMessage[] = [
    { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Where am I?' }] },
    { id: 'm2', role: 'assistant', parts: [{ type: 'tool-locate', toolCallId: 'c', state: 'output-available', input: {}, output: 'Ulm' }] },
  ];
  const { chunks, result } = await run(
    (context) => emitUIMessageStream(context, streamText({ model: modelOf([...say('In Ulm.'), finish()]), prompt: 'Hi' })),
    {},
    { messages: asked },
  );
  assert.deepEqual(chunks[0], { type: 'start', messageId: 'm2' });
  assert.deepEqual([result?.id, result?.parts.length], ['m2', 3]);
});
