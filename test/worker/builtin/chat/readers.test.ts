import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { resolveSettings } from '../../../../shared/settings/settings.js';
import { type AnswerPart, readAnswer } from '../../../../worker/builtin/chat/answer.js';
import { readChunk } from '../../../../worker/builtin/chat/completion-chunk.js';
import { Completion } from '../../../../worker/builtin/chat/completion.js';
import { completionChunks } from '../../../../worker/builtin/chat/handler.js';
import { describeError, findError } from '../../../../worker/builtin/openai/reported-error.js';
import { upstreamAt } from '../../../../worker/builtin/openai/upstream.js';

const server = upstreamAt(resolveSettings({ openaiBaseUrls: ['http://127.0.0.1:1/v1'] }), 0);
const unwatched = { heard: () => undefined, limit: () => undefined };

/** Random JSON that often has the fields of an answer, with values of any type. */
const answerLike = fc.letrec((tie) => {
  const fields = ['error', 'message', 'detail', 'code', 'status', 'error_code', 'object', 'choices', 'delta', 'content', 'text', 'type'];
  const more = ['finish_reason', 'index', 'usage', 'model', 'tool_calls', 'function', 'arguments', 'reasoning', 'thinking'];
  const value = fc.oneof({ depthSize: 'small' }, fc.jsonValue(), tie('object'), fc.array(tie('object'), { maxLength: 3 }));
  return { object: fc.dictionary(fc.constantFrom(...fields, ...more), value, { maxKeys: 6 }) };
}).object;

test('any JSON of a server is read without throwing, with strings where the types promise strings', () => {
  fc.assert(
    fc.property(fc.oneof(answerLike, fc.jsonValue()), (json) => {
      for (const error of [findError(json), describeError(json)]) {
        assert.ok(error === null || error.words === null || error.words.trim() !== '');
        assert.ok(!error?.status || (error.status >= 400 && error.status <= 599));
      }
      const chunk = readChunk(json);
      if (chunk === null) return;
      const completion = new Completion('m');
      const pieces = completion.add(chunk);
      const { content, chunks } = completion.output();
      assert.equal(pieces.filter((piece) => typeof piece === 'string').join(''), content);
      assert.ok(chunks <= 1);
    }),
    { numRuns: 500 },
  );
});

async function partsOf(pieces: readonly Uint8Array[]): Promise<AnswerPart[]> {
  const parts: AnswerPart[] = [];
  for await (const part of readAnswer(new Response(streamOf(pieces)), server, () => undefined)) parts.push(part);
  return parts;
}

function streamOf(pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
}

function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

const lines = fc.array(
  fc.oneof(
    fc.constantFrom('', ': x', 'event: error', 'data: [DONE]', 'data:', '{"a":1}'),
    fc.string({ unit: 'grapheme' }).map((text) => `data: ${text}`),
  ),
  { maxLength: 12 },
);

test('an answer does not depend on how its bytes are split', async () => {
  await fc.assert(
    fc.asyncProperty(lines, fc.constantFrom('\n', '\r\n'), fc.array(fc.nat(), { maxLength: 6 }), async (each, newline, cuts) => {
      const bytes = new TextEncoder().encode(each.join(newline));
      assert.deepEqual(await partsOf(split(bytes, cuts)), await partsOf([bytes]));
    }),
    { numRuns: 200 },
  );
});

test('a completion cut before its finish_reason fails, and one cut after it is whole', async () => {
  const body = ['Hel', 'lo'].map((content) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`).join('');
  const finish = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}';
  const text = `${body}${finish}\n\ndata: {"choices":[],"usage":{"total_tokens":2}}\n\ndata: [DONE]\n\n`;
  for (let length = 0; length <= text.length; length += 1) {
    const completion = new Completion('m');
    const reading = (async () => {
      const pieces = length === 0 ? [] : [new TextEncoder().encode(text.slice(0, length))];
      for await (const chunk of completionChunks(new Response(streamOf(pieces)), server, unwatched)) completion.add(chunk);
      return completion.output().content;
    })();
    if (length < body.length + finish.length) await assert.rejects(reading, `after ${length} characters`);
    else assert.equal(await reading, 'Hello', `after ${length} characters`);
  }
});
