import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import vm from 'node:vm';
import { type Failure, errorOf, failureOf, parseFailure, withoutStacks } from '../../../shared/attempt/failure.js';

const bytesOf = (failure: Failure): number => Buffer.byteLength(JSON.stringify(failure));

function chainOf(length: number): Error {
  return Array.from({ length }).reduce<Error | undefined>((cause, _, index) => new Error(`level ${length - index}`, { cause }), undefined)!;
}

describe('the description of a failure', () => {
  it('keeps name, message, code, stack and cause of an error', () => {
    const cause = Object.assign(new TypeError('socket closed'), { code: 'ECONNRESET' });
    const failure = failureOf(new RangeError('too many', { cause }));
    assert.deepEqual([failure.name, failure.message, failure.code], ['RangeError', 'too many', null]);
    assert.match(failure.stack ?? '', /RangeError: too many\n.*failure\.test/s);
    assert.deepEqual([failure.cause?.name, failure.cause?.code], ['TypeError', 'ECONNRESET']);
  });

  it('keeps five causes and five members of an AggregateError', () => {
    let depth = 0;
    for (let one = failureOf(chainOf(9)).cause; one; one = one.cause) depth += 1;
    assert.equal(depth, 5);
    const members = failureOf(
      new AggregateError(
        Array.from({ length: 9 }, (_, index) => new Error(`no. ${index}`)),
        'all failed',
      ),
    ).errors;
    assert.deepEqual(
      members.map(({ message }) => message),
      ['no. 0', 'no. 1', 'no. 2', 'no. 3', 'no. 4'],
    );
  });

  it('describes a thrown value that is no error as itself', () => {
    const described = ['oh no', 42, null, undefined, { status: 503 }].map((value) => failureOf(value));
    assert.deepEqual(
      described.map(({ name, message }) => `${name}: ${message}`),
      ['string: oh no', 'number: 42', 'null: null', 'undefined: undefined', 'object: { status: 503 }'],
    );
  });

  it('knows an error of another realm', () => {
    assert.equal(failureOf(vm.runInNewContext('new TypeError("elsewhere")')).name, 'TypeError');
  });

  it('cuts texts of megabytes with a mark, within 16 KiB', () => {
    const huge = 'x'.repeat(5_000_000);
    for (const error of [new Error(huge), new Error('short', { cause: new Error(huge) }), new Error('\u0000'.repeat(100_000))]) {
      const failure = failureOf(error);
      assert.ok(bytesOf(failure) <= 16_384, `${bytesOf(failure)} bytes`);
    }
    assert.match(failureOf(new Error(huge)).message, /x … \(cut: 5000000 bytes\)$/);
    assert.ok(bytesOf(failureOf(huge)) <= 16_384);
  });

  it('stays within its bounds for a tree of errors and for a cycle', () => {
    const branch = (depth: number): Error =>
      depth === 0
        ? new Error('y'.repeat(9_000))
        : new AggregateError(
            Array.from({ length: 6 }, () => branch(depth - 1)),
            'branch',
          );
    assert.ok(bytesOf(failureOf(branch(4))) <= 16_384);
    const cycle = new Error('a');
    cycle.cause = new Error('b', { cause: cycle });
    assert.equal(failureOf(cycle).cause?.cause, null);
  });

  it('survives an error whose getters throw, and a revoked proxy', () => {
    const hostile = new Error('fine');
    for (const property of ['stack', 'name', 'message', 'code', 'cause'])
      Object.defineProperty(hostile, property, {
        get: () => {
          throw new Error('never');
        },
      });
    assert.equal(failureOf(hostile).name, 'Error');
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    assert.equal(failureOf(proxy).message, '<Revoked Proxy>');
  });

  it("leaves out the arguments of a command in Redis' error", () => {
    assert.equal(failureOf(new Error("unknown command 'X', with args beginning with: 'secret'")).message, "unknown command 'X'");
  });

  it('survives being rebuilt as an error', () => {
    const original = new AggregateError([Object.assign(new Error('one'), { code: 'E1' })], 'all', { cause: new TypeError('why') });
    const failure = failureOf(original);
    const rebuilt = errorOf(failure);
    assert.ok(rebuilt instanceof AggregateError);
    assert.equal(rebuilt.stack, original.stack);
    assert.deepEqual(failureOf(rebuilt), failure);
    assert.deepEqual(parseFailure(JSON.parse(JSON.stringify(failure))), failure);
  });

  it('is parsed from anything that is stored', () => {
    assert.equal(parseFailure('text'), null);
    assert.deepEqual(parseFailure({ message: 1, cause: [], errors: [null, { name: 'A' }] }), {
      ...{ name: 'Error', message: '', code: null, stack: null, cause: null },
      errors: [{ name: 'A', message: '', code: null, stack: null, cause: null, errors: [] }],
    });
  });

  it('loses its stacks at every level for those who may not see them', () => {
    const failure = withoutStacks(failureOf(new AggregateError([new Error('one')], 'all', { cause: new Error('why') })));
    assert.equal(JSON.stringify(failure).includes('failure.test'), false);
    assert.equal(failure.cause?.message, 'why');
  });
});
