import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Command } from 'commander';
import { completionOf, namedArguments } from '../../../cli/completion/words.js';
import { createProgram } from '../../../cli/program.js';
import { testIo } from '../../support/process/run-cli.js';

describe('the word at the cursor', () => {
  let program: Command;

  before(async () => {
    program = await createProgram(testIo());
  });

  function candidates(...words: string[]): string[] {
    const { candidates: all, typed, kept } = completionOf(program, words);
    return all.filter(({ value }) => value.startsWith(typed)).map(({ value }) => kept + value);
  }

  it('is a command, a subcommand, an option or a value', () => {
    assert.deepEqual(candidates('ta'), ['task']);
    assert.deepEqual(candidates('complet'), ['completion'], 'hidden commands are left out');
    assert.deepEqual(candidates('task', 'l'), ['list', 'logs']);
    assert.deepEqual(candidates('-o', 'json', 'task', 'sho'), ['show'], 'the value of an option is no command');
    assert.deepEqual(candidates('task', 'list', '--sta'), ['--state']);
    assert.deepEqual(candidates('task', 'list', '--red'), ['--redis'], 'global options');
    assert.deepEqual(candidates('task', 'list', '--state', 'fa'), ['failed']);
    assert.deepEqual(candidates('task', 'list', '--state=fa'), ['--state=failed']);
    assert.deepEqual(candidates('task', 'list', '--columns', 'id,na'), ['id,name']);
    assert.deepEqual(candidates('task', 'list', '--', '--sta'), [], 'no options after --');
    assert.deepEqual(candidates('completion', 'z'), ['zsh']);
    assert.deepEqual(candidates('nonsense', 'x'), []);
  });

  it('is a name that the fleet knows', () => {
    const names = (...words: string[]) => completionOf(program, words).names;
    assert.equal(names('task', 'enqueue', ''), 'tasks');
    assert.equal(names('task', 'enqueue', '--item', 'a', 'fl'), 'tasks');
    assert.equal(names('task', 'enqueue', 'fleet.canary', ''), null);
    assert.equal(names('task', 'stop', 'a', ''), 'ids');
    assert.equal(names('task', 'list', '--name', ''), 'tasks');
    assert.equal(names('task', 'list', '--queue=ch'), 'queues');
    const { globals } = completionOf(program, ['--redis', 'redis://a', 'task', 'list', '--prefix=b', '--queue', '']);
    assert.deepEqual([globals.redis, globals.prefix], ['redis://a', 'b']);
  });

  it('is completed with names only for commands that exist', () => {
    for (const path of namedArguments()) {
      let command: Command | undefined = program;
      for (const name of path.split(' ')) command = command?.commands.find((one) => one.name() === name);
      assert.ok((command?.registeredArguments.length ?? 0) > 0, path);
    }
  });
});
