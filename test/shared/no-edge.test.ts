import assert from 'node:assert/strict';
import { test } from 'node:test';
import { built } from '../support/process/built.js';
import { spawnNode } from '../support/process/processes.js';

/** Imports entry points as bundlers for edge runtimes resolve them, and prints the error of each. */
const PROGRAM = `
for (const door of process.argv.slice(1)) await import(door).then(() => console.log('loaded'), (error) => console.log(error.message));`;
const NEEDS_NODE = ['producer', 'worker', 'dashboard', 'testing'];

for (const condition of ['edge-light', 'workerd']) {
  test(`entry points that need Node.js say so where the condition is ${condition}, and the client loads`, async () => {
    const doors = [...NEEDS_NODE, 'client'].map((door) => `taskfleet/${door}`);
    const program = spawnNode(['-C', condition, '--input-type=module', '-e', PROGRAM, ...doors], { cwd: built('.') });
    assert.deepEqual(await program.exit, { code: 0, signal: null }, program.stderr.text);
    const refusals = program.stdout.lines.filter((line) =>
      /need Node\.js: they open TCP connections to Redis.*use taskfleet\/client/.test(line),
    );
    assert.deepEqual([refusals.length, program.stdout.lines.at(-1)], [NEEDS_NODE.length, 'loaded']);
  });
}
