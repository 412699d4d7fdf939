import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UIMessageChunk } from 'ai';
import { AnswerFailed, AnswerRestarted } from '../../ai/answer-errors.js';
import { type AnswerEvent, AnswerReader } from '../../ai/answer-reader.js';
import { piecesOf } from '../../ai/pieces.js';

const START: UIMessageChunk = { type: 'start', messageId: 't1' };
const STEP: UIMessageChunk = { type: 'start-step' };
const text = (delta: string, id = '1'): UIMessageChunk => ({ type: 'text-delta', id, delta });
const begin = (id = '1'): UIMessageChunk => ({ type: 'text-start', id });
const end = (id = '1'): UIMessageChunk => ({ type: 'text-end', id });
const tool: UIMessageChunk = { type: 'tool-input-available', toolCallId: 'c1', toolName: 'clock', input: {} };

const chunkEvent = (chunk: unknown, index: number): AnswerEvent => ({ type: 'chunk', id: `1-${index}`, chunk });
const stateEvent = (state: string, facts: Partial<AnswerEvent> = {}): AnswerEvent => ({ type: 'state', id: null, state, ...facts });

/** Returns what a reader makes of chunks, and then of the end of the task. */
function read(chunks: readonly unknown[], last?: AnswerEvent): UIMessageChunk[] {
  const reader = new AnswerReader();
  const events = [...chunks.map(chunkEvent), ...(last ? [last] : [])];
  const result = events.flatMap((event) => reader.read(event));
  assert.equal(reader.ended, last !== undefined);
  return result;
}

test('An answer is passed on as it is, and ends with its task', () => {
  const chunks = [START, STEP, begin(), text('one '), text('two'), end(), { type: 'finish-step' }, { type: 'finish' }];
  assert.deepEqual(read(chunks, stateEvent('completed')), chunks);
});

test('What is no chunk of the SDK is skipped', () => {
  assert.deepEqual(read([START, 'text', null, { no: 'type' }, 7, begin()]), [START, begin()]);
  const reader = new AnswerReader();
  assert.deepEqual(reader.read({ type: 'progress', id: '1-0' }), []);
  assert.deepEqual(reader.read(stateEvent('running')), []);
});

test('A second attempt replaces the text of the first one, in the same step', () => {
  const first = [START, STEP, begin(), text('lost')];
  const second = [START, STEP, begin(), text('kept'), end()];
  assert.deepEqual(read([...first, ...second], stateEvent('completed')), [
    ...first,
    { type: 'reset-step' },
    START,
    begin(),
    text('kept'),
    end(),
  ]);
});

test('A second attempt after a first one without output needs no correction', () => {
  assert.deepEqual(read([START, START, STEP, begin()]), [START, START, STEP, begin()]);
  assert.deepEqual(read([START, STEP, START, STEP, begin()]), [START, STEP, START, begin()]);
});

test('Finished steps cannot be taken back: the reader is told where the new attempt begins', () => {
  const reader = new AnswerReader();
  const first = [START, STEP, tool, { type: 'finish-step' }, STEP, begin()];
  for (const [index, chunk] of first.entries()) reader.read(chunkEvent(chunk, index));
  assert.throws(
    () => reader.read(chunkEvent(START, first.length)),
    (error) => error instanceof AnswerRestarted && error.after === `1-${first.length - 1}`,
  );
});

test('A stop ends open parts, and is an abort for every reader, once', () => {
  const chunks = [START, STEP, begin(), text('half'), { type: 'reasoning-start', id: 'r' }];
  const ends = [end(), { type: 'reasoning-end', id: 'r' }];
  const abort = { type: 'abort', reason: 'enough' };
  const cancelled = stateEvent('cancelled', { receipt: { reason: 'enough' } });
  assert.deepEqual(read(chunks, cancelled), [...chunks, ...ends, abort]);
  assert.deepEqual(read([...chunks, abort], cancelled), [...chunks, ...ends, abort]);
  assert.deepEqual(read([], stateEvent('cancelled')), [{ type: 'abort' }]);
});

test('A failed task fails its reader, with the code of the error', () => {
  const reader = new AnswerReader();
  assert.throws(
    () => reader.read(stateEvent('failed', { error: { message: 'no model', code: 'E_MODEL' } })),
    (error) => error instanceof AnswerFailed && error.message === 'no model' && error.code === 'E_MODEL',
  );
  assert.equal(reader.ended, true);
});

test('An answer whose beginning is no longer stored is shown from where it is', () => {
  assert.deepEqual(read([text('rest'), end(), end('2')]), [begin(), text('rest'), end()]);
});

test('Long chunks arrive whole, and pieces of another attempt do no harm', () => {
  const file: UIMessageChunk = { type: 'file', mediaType: 'image/png', url: `data:image/png;base64,${'é😀"\\'.repeat(60_000)}` };
  const pieces = piecesOf(file);
  assert.ok(pieces.length > 1);
  for (const piece of pieces) assert.ok(Buffer.byteLength(JSON.stringify(piece)) <= 262_144);
  assert.deepEqual(read([START, STEP, ...pieces, begin()]), [START, STEP, file, begin()]);
  assert.deepEqual(read([...pieces.slice(1), START, pieces[0], ...pieces]), [START, file]);
  const bad = [null, 7, {}, { index: 0, count: 1, json: '{' }, { index: 0, count: 1, json: null }];
  const type = 'data-taskfleet-piece';
  assert.deepEqual(read([START, ...bad.map((data) => ({ type, data })), begin()]), [START, begin()]);
});
