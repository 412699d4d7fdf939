import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { MAX_COMMAND_IDS, MAX_COMMAND_LENGTH } from '../../../shared/limits.js';
import { formatCommands, parseCommand } from '../../../shared/stop/commands.js';
import { createReceipt, formatStop, parseStop } from '../../../shared/stop/receipt.js';

const BAD_TIMES = ['1e308', '-1', '0', '-1e17', '8.64e15', '253402300799999', 'null', 'true', '[1]', '"1795971461980"'];
const NOTHING = { reason: null, by: null, recordedAt: null, announced: false, fleet: null };

function problemOf(message: string): string {
  const parsed = parseCommand(message);
  assert.equal(parsed.kind, 'bad', message.slice(0, 100));
  return parsed.kind === 'bad' ? parsed.problem : '';
}

test("a message in open-webui's format is a stop of one task", () => {
  assert.deepEqual(parseCommand('{"action":"stop","task_id":"a-1"}'), { kind: 'stop', command: { ids: ['a-1'], ...NOTHING } });
  assert.deepEqual(parseCommand('{"action": "stop", "task_id": "a-1", "sent_by": 7}'), {
    kind: 'stop',
    command: { ids: ['a-1'], ...NOTHING },
  });
});

test("a stop of one task without details is written in open-webui's format", () => {
  assert.deepEqual(formatCommands(['a-1'], NOTHING), ['{"action":"stop","task_id":"a-1"}']);
});

test('a written command is read back unchanged', () => {
  const texts = fc.option(fc.string({ minLength: 1, maxLength: 500 }), { nil: null });
  const stops = fc.record({
    reason: texts,
    by: texts,
    recordedAt: fc.option(fc.integer({ min: 1 }), { nil: null }),
    announced: fc.boolean(),
    fleet: texts,
  });
  const idLists = fc.array(fc.string({ minLength: 1, maxLength: 128 }), { maxLength: 50 });
  fc.assert(
    fc.property(idLists, stops, (ids, stop) => {
      const commands = formatCommands(ids, stop).map(parseCommand);
      assert.deepEqual(commands, ids.length === 0 ? [] : [{ kind: 'stop', command: { ids, ...stop } }]);
    }),
  );
});

test('many ids are split into messages of a readable length that name every id once', () => {
  const ids = Array.from({ length: 2 * MAX_COMMAND_IDS + 1 }, (_, n) => String(n).padStart(128, 'a'));
  const messages = formatCommands(ids, {
    reason: '\u0001'.repeat(500),
    by: '\u0001'.repeat(500),
    recordedAt: Date.now(),
    announced: false,
    fleet: null,
  });
  assert.equal(messages.length, 3);
  for (const message of messages) assert.ok(message.length <= MAX_COMMAND_LENGTH);
  const read = messages.map(parseCommand).flatMap((parsed) => (parsed.kind === 'stop' ? parsed.command.ids : []));
  assert.deepEqual(read, ids);
});

test('ids of any length fit into readable messages', () => {
  const ids = Array.from({ length: MAX_COMMAND_IDS }, (_, n) => String(n).padStart(500, 'a'));
  const messages = formatCommands(ids, NOTHING);
  const read = messages.map(parseCommand).flatMap((parsed) => (parsed.kind === 'stop' ? parsed.command.ids : []));
  assert.deepEqual(read, ids);
});

test('the error for a message that is not a stop command says what was expected', () => {
  assert.match(problemOf(''), /^not JSON/);
  assert.equal(problemOf('{"reason":hunter2}'), "not JSON: Unexpected token 'h'");
  assert.match(problemOf('{"action":"stop","task_id":'), /^not JSON/);
  for (const text of ['null', '[]', '"stop"', '7', 'true']) assert.equal(problemOf(text), 'expected a JSON object');
  assert.equal(problemOf('{"task_id":"a"}'), 'no action');
  assert.equal(problemOf('{}'), 'no action');
  assert.equal(problemOf('{"action":"pause","task_id":"a"}'), 'unsupported action "pause"');
  assert.equal(problemOf('{"action":{"stop":1}}'), 'unsupported action object');
  assert.match(problemOf(JSON.stringify({ action: 'x'.repeat(1_000) })), /^unsupported action "x{60}…"$/);
});

test('an id that is missing or of another type makes the whole command invalid', () => {
  const fields: object[] = [
    {},
    { task_id: null },
    { task_id: 7 },
    { task_id: '' },
    { task_id: ['a'] },
    { task_id: {} },
    { task_id: 'x'.repeat(1_001) },
  ];
  fields.push(
    { task_ids: [] },
    { task_ids: 'a' },
    { task_ids: ['a', 7] },
    { task_ids: { 0: 'a', length: 1 } },
    { task_ids: Array(MAX_COMMAND_IDS + 1).fill('a') },
  );
  for (const field of fields)
    assert.match(problemOf(JSON.stringify({ action: 'stop', ...field })), /^expected task_id, a string, or task_ids/);
});

test('a reason, name or time of another type is ignored, and the stop is valid', () => {
  for (const wrong of [7, {}, [], true, 'x'.repeat(501), '']) {
    const message = JSON.stringify({ action: 'stop', task_id: 'a', reason: wrong, by: wrong, recorded_at: 'yesterday' });
    assert.deepEqual(parseCommand(message), { kind: 'stop', command: { ids: ['a'], ...NOTHING } });
  }
});

test('an implausible time is dropped, so that the receiver of the command records the stop', () => {
  for (const at of BAD_TIMES) {
    assert.deepEqual(
      parseCommand(`{"action":"stop","task_id":"a","recorded_at":${at}}`),
      { kind: 'stop', command: { ids: ['a'], ...NOTHING } },
      at,
    );
  }
});

test('a message of 1 MiB is not parsed', () => {
  const long = JSON.stringify({ action: 'stop', task_id: 'a', padding: 'x'.repeat(1_048_576) });
  assert.match(problemOf(long), new RegExp(`^longer than ${MAX_COMMAND_LENGTH} characters \\(\\d+\\)$`));
  assert.match(problemOf('['.repeat(MAX_COMMAND_LENGTH)), /^not JSON/);
});

test('reading never throws and returns a short problem for any message', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.jsonValue().map((task_id) => JSON.stringify({ action: 'stop', task_id, reason: task_id })),
  );
  fc.assert(
    fc.property(anything, (message) => {
      const parsed = parseCommand(message);
      if (parsed.kind === 'bad') assert.ok(parsed.problem.length < 500);
      else for (const id of parsed.command.ids) assert.equal(typeof id, 'string');
    }),
    { numRuns: 1_000 },
  );
});

test('a stop stored with a job is read back unchanged', () => {
  const at = Date.now();
  assert.deepEqual(parseStop(formatStop({ reason: 'slow', by: null, at }), null), {
    reason: 'slow',
    by: null,
    at: new Date(at),
    via: null,
  });
  assert.equal(parseStop(formatStop({ reason: null, by: null, at }), 'signal')?.via, 'signal');
  assert.equal(parseStop(null, 'signal'), null);
  assert.equal(parseStop('', null), null);
});

test('a stop written by hand is valid, and an implausible time is dropped', () => {
  for (const text of ['1', 'yes', 'null', '[]', '"x"', ...BAD_TIMES.map((at) => `{"at":${at}}`), '{"at":"now","reason":7}']) {
    const stop = parseStop(text, 'telepathy');
    assert.ok(stop, text);
    assert.deepEqual(stop, { reason: null, by: null, at: null, via: null }, text);
    assert.equal(createReceipt({ id: 'a', outcome: 'cancelled', stop, settledAt: new Date() }).requestedAt, null);
  }
});
