import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UsageError, parseOptions } from './options.js';

describe('The arguments of the soak', () => {
  it('have defaults and a random seed', () => {
    const { out, ...options } = parseOptions([], () => 7) ?? assert.fail('no options');
    assert.deepEqual(options, { minutes: 20, seed: 7, topology: 'standalone', faults: true });
    assert.match(out, /taskfleet-soak$/);
  });

  it('are read as given', () => {
    const args = ['--minutes', '0.5', '--seed', '4294967295', '--topology', 'cluster', '--out', 'here', '--no-faults'];
    assert.deepEqual(parseOptions(args), { minutes: 0.5, seed: 4_294_967_295, topology: 'cluster', out: 'here', faults: false });
    assert.equal(parseOptions(['--help']), null);
  });

  for (const [args, message] of [
    [['--minutes', '0'], /--minutes: expected .* got "0"/],
    [['--minutes', 'ten'], /--minutes: expected .* got "ten"/],
    [['--minutes', ''], /--minutes: expected .* got ""/],
    [['--minutes', '1441'], /--minutes: expected .* got "1441"/],
    [['--seed', '1.5'], /--seed: expected a whole number .* got "1.5"/],
    [['--seed', '4294967296'], /--seed: expected .* got "4294967296"/],
    [['--topology', 'ring'], /--topology: expected one of standalone, sentinel, cluster, got "ring"/],
    [['--out', ''], /--out: expected a folder/],
    [['--rounds', '3'], /--rounds/],
    [['20'], /20/],
  ] as const) {
    it(`are refused: ${args.join(' ')}`, () => {
      assert.throws(
        () => parseOptions(args),
        (error: Error) => error instanceof UsageError && message.test(error.message),
      );
    });
  }
});
