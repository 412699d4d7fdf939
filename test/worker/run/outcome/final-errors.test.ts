import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { z } from 'zod';
import { ZodMiniString } from 'zod/mini';
import { ERROR_CODES, type ErrorCode, FleetError } from '../../../../shared/errors.js';
import { isFinal, unrecoverable } from '../../../../worker/run/outcome.js';

class Refused extends UnrecoverableError {}
class HttpError extends Error {}
class NotFound extends HttpError {}

/** The error of a task module's own copy of BullMQ: another class of the same name. */
function ofAnotherCopy(): Error {
  const Copy = { UnrecoverableError: class extends Error {} }.UnrecoverableError;
  Object.defineProperty(Copy, 'name', { value: 'UnrecoverableError' });
  class Subclass extends Copy {}
  return new Subclass('no use');
}

test('an UnrecoverableError of any copy of BullMQ is final, and so are its subclasses', () => {
  for (const error of [
    new UnrecoverableError('no use'),
    new Refused('no use'),
    ofAnotherCopy(),
    Object.assign(new Error('no use'), { name: 'UnrecoverableError' }),
  ]) {
    assert.equal(isFinal(error, []), true, error.name);
  }
});

test('validation errors of zod are final', () => {
  const schema = z.object({ n: z.number() });
  assert.throws(
    () => schema.parse({ n: 'one' }),
    (error) => isFinal(error, []),
  );
  assert.throws(
    () => new ZodMiniString({ type: 'string' }).parse(1),
    (error) => isFinal(error, []),
  );
});

test('a FleetError is final if it refuses arguments or code', () => {
  const codes = (Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => isFinal(new FleetError(code, 'no'), []));
  const inputs = ['INVALID_DEFINITION', 'INVALID_MIDDLEWARE', 'INVALID_INPUT', 'INPUT_TOO_LARGE'];
  const outputs = ['INVALID_OUTPUT', 'RESULT_TOO_LARGE', 'OUTPUT_TOO_LARGE'];
  assert.deepEqual(codes, [...inputs, ...outputs, 'INVALID_ID', 'INVALID_ITEM', 'INVALID_OPTION', 'INVALID_PLAN']);
});

test('other errors are final only if the definition excludes them from retries, by name, code or superclass', () => {
  const missing = Object.assign(new Error('no such file'), { code: 'ENOENT' });
  for (const error of [new NotFound('gone'), missing, new TypeError('not a function'), 'text', null, undefined])
    assert.equal(isFinal(error, ['RangeError', 'EACCES']), false);
  assert.equal(isFinal(new NotFound('gone'), ['NotFound']), true);
  assert.equal(isFinal(new NotFound('gone'), ['HttpError']), true);
  assert.equal(isFinal(new HttpError('any'), ['NotFound']), false);
  assert.equal(isFinal(missing, ['ENOENT']), true);
  assert.equal(isFinal(Object.assign(new Error('named'), { name: 'Declined' }), ['Declined']), true);
  assert.equal(isFinal(new Error('any'), ['Error']), true);
});

test('a final error keeps its message, stack and cause', () => {
  const error = new NotFound('gone');
  const final = unrecoverable(error);
  assert.deepEqual([final.message, final.stack, final.cause], ['gone', error.stack, error]);
  const own = new Refused('no use');
  assert.equal(unrecoverable(own), own);
});
