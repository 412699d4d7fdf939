import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { failureOf } from '../../../../shared/attempt/failure.js';
import { isError, isFleetError } from '../../../../shared/errors.js';
import { failWith, isFinal } from '../../../../worker/run/outcome.js';

/** Makes an error as Node.js makes them for code in Jest, which runs in a context of its own. */
function errorOfOtherRealm(code: string, name = 'Error'): Error {
  return runInNewContext(`Object.assign(new ${name}('no such file'), { code: '${code}' })`) as Error;
}

describe('An error of another realm', () => {
  test('is an error, and fails the task as it is', () => {
    const error = errorOfOtherRealm('ENOENT');
    assert.ok(!(error instanceof Error) && isError(error));
    assert.equal(failWith(error).error, error);
    assert.deepEqual([failureOf(error).name, failureOf(error).message, failureOf(error).code], ['Error', 'no such file', 'ENOENT']);
  });

  test('is not retried if its code or its class is excepted', () => {
    assert.ok(isFinal(errorOfOtherRealm('ENOENT'), ['ENOENT']));
    assert.ok(isFinal(errorOfOtherRealm('', 'RangeError'), ['RangeError']));
    assert.ok(!isFinal(errorOfOtherRealm('ENOENT'), ['RangeError', 'Object']));
    assert.ok(isFleetError(errorOfOtherRealm('INVALID_INPUT')) && isFinal(errorOfOtherRealm('INVALID_INPUT'), []));
  });

  test('other values are no errors', () => {
    const deaf = new Proxy(
      {},
      {
        get: () => {
          throw new Error('deaf');
        },
        getPrototypeOf: () => {
          throw new Error('deaf');
        },
      },
    );
    for (const value of [null, undefined, 'Error', {}, deaf, Object.create(null)]) assert.ok(!isError(value));
    assert.ok(isError(new DOMException('aborted', 'AbortError')));
  });
});
