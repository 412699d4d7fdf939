import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ExampleOptions, installExample } from '../../support/examples/example.js';

const COLOURLESS = { NO_COLOR: '1', FORCE_COLOR: '0' };

/** Installs an example, and returns the output of its `npm test`. Fails if a test of the example does. */
async function testExample(t: Parameters<typeof installExample>[0], name: string, options: ExampleOptions = {}): Promise<string> {
  const example = await installExample(t, name, { ...options, env: COLOURLESS });
  return example.run('npm', ['test']);
}

// The installations mostly wait.
describe('The test kit runs under', { concurrency: true }, () => {
  test('node:test', async (t) => assert.match(await testExample(t, 'testing-node'), /^# pass 10$/m));

  // Vitest 5 needs Node 22.12.
  test('Vitest', async (t) => assert.match(await testExample(t, 'testing-vitest', { node: 22 }), /Tests\s+5 passed/));

  // Jest reports on standard error; its exit code counts.
  test('Jest', async (t) => assert.match(await testExample(t, 'testing-jest'), /experimental-vm-modules/));
});
