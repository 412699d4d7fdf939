import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../../cli/program.js';
import { COMMAND, type CommandResult } from '../support/process/command.js';
import { NodeProcess } from '../support/process/processes.js';
import { runCli, testIo } from '../support/process/run-cli.js';

const NOBODY = 'redis://user:secret@127.0.0.1:1';

describe('taskfleet without a Redis', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-usage-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  function taskfleet(args: string, env: Record<string, string> = {}): Promise<CommandResult> {
    return runCli(
      args.split(' ').filter((arg) => arg !== ''),
      { cwd: folder, env },
    );
  }

  it('has help with examples for every command', async () => {
    const commands = leavesOf(await createProgram(testIo()));
    assert.deepEqual(
      commands.map(pathOf),
      [
        ['up', 'worker', 'worker list', 'worker drain', 'worker resume', 'dashboard'],
        ['task enqueue', 'task list', 'task show', 'task stop', 'task retry', 'task watch', 'task logs', 'top'],
        ['limit list', 'limit set', 'limit clear', 'queue list', 'queue pause', 'queue resume'],
        ['schedule list', 'schedule run', 'schedule remove', 'billing init-plans', 'billing plans'],
        ['token create', 'doctor', 'completion', 'complete'],
      ].flat(),
    );
    for (const command of commands) {
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) });
      command.outputHelp();
      assert.match(help, /^Examples:\n {2}/m, command.name());
      assert.match(help, /^Global Options:[^]*--output[^]*--redis[^]*--prefix/m, command.name());
    }
  });

  it('prints help and version on standard output, exit code 0', async () => {
    const [help, version] = await Promise.all([taskfleet('task stop --help'), taskfleet('--version')]);
    assert.match(help.stdout, /^Usage: taskfleet task stop \[options\] \[ids\.\.\.\]/);
    assert.match(version.stdout, /^\d+\.\d+\.\d+$/);
    assert.deepEqual(
      [help, version].map(({ code, stderr }) => [code, stderr]),
      [
        [0, ''],
        [0, ''],
      ],
    );
  });

  it('exits with code 2 on a usage error and explains it on standard error', async () => {
    const cases = {
      '': /^Usage: taskfleet/,
      tsk: /^taskfleet: unknown command 'tsk'\n\(Did you mean task\?\)$/,
      'task show': /^taskfleet: missing required argument 'id'$/,
      'task list --limit 0': /'0' is invalid\. Expected a whole number from 1 to 1000\.$/,
      'task stop': /^taskfleet: Pass either task ids, --item or another filter; --all for every live task\.$/,
      'task watch a --after 7': /Expected an event id such as 1753000000000-0\.$/,
      'task list --redis nonsense': /^taskfleet: Bad --redis: expected a URL such as /,
    };
    const runs = await Promise.all(Object.keys(cases).map((args) => taskfleet(args)));
    Object.values(cases).forEach((pattern, index) => {
      assert.match(runs[index]?.stderr ?? '', pattern);
      assert.deepEqual([runs[index]?.code, runs[index]?.stdout], [2, '']);
    });
  });

  it(
    'says that its output cannot be written, exit code 70, and ends quietly when its reader has left',
    { skip: !existsSync('/dev/full') && 'this machine has no /dev/full' },
    async () => {
      const run = async (script: string): Promise<[number | null, string]> => {
        const child = new NodeProcess(
          spawn('bash', ['-c', script, process.execPath, COMMAND], {
            cwd: folder,
            env: { PATH: process.env['PATH'] },
            detached: true,
            stdio: ['ignore', 'pipe', 'pipe'],
          }),
          script,
        );
        const { code } = await child.exit;
        return [code, child.stderr.text];
      };
      const [full, left, mute] = await Promise.all([
        run('exec "$0" "$1" --help >/dev/full'),
        run('"$0" "$1" --help | true; exit "${PIPESTATUS[0]}"'),
        run('exec "$0" "$1" task show 2>/dev/full'),
      ]);
      assert.deepEqual(full, [70, 'taskfleet: Cannot write to standard output: ENOSPC: no space left on device, write']);
      assert.deepEqual(left, [0, '']);
      assert.deepEqual(mute, [2, '']);
    },
  );

  it('exits with code 69 without a Redis and suggests what to do', async () => {
    const [none, silent, doctor] = await Promise.all([
      taskfleet('task list'),
      taskfleet(`task list -o json --redis ${NOBODY}`),
      taskfleet('doctor', { REDIS_URL: NOBODY }),
    ]);
    assert.deepEqual([none.code, silent.code, doctor.code], [69, 69, 69]);
    assert.match(none.stderr, /^taskfleet: No Redis: .* Set REDIS_URL, or start: taskfleet up$/);
    assert.deepEqual(JSON.parse(silent.stderr), {
      error: { code: 'REDIS_UNAVAILABLE', message: 'Redis at 127.0.0.1:1 cannot be reached: connect ECONNREFUSED 127.0.0.1:1' },
    });
    assert.ok(!(doctor.stdout + doctor.stderr).includes('secret'));
  });

  it('exits with code 78 on bad settings and lists all problems', async () => {
    const { code, stderr } = await taskfleet('task list', { WORKER_CONCURRENCY: 'many', STOP_GRACE_MS: '-1' });
    assert.equal(code, 78);
    assert.match(stderr, /^taskfleet: Bad settings:\n {2}WORKER_CONCURRENCY: .*got "many"\n {2}STOP_GRACE_MS: .*got "-1"$/m);
  });

  it('prints the stack of an error if GLOBAL_LOG_LEVEL is debug', async () => {
    const { code, stderr } = await taskfleet('task list', { GLOBAL_LOG_LEVEL: 'debug' });
    assert.equal(code, 69);
    assert.match(stderr, /^ {4}at /m);
  });
});

/** Returns the commands that do something themselves, not only through subcommands. */
function leavesOf(command: Command): Command[] {
  const leaves = command.commands.flatMap(leavesOf);
  return leaves.length === 0 || command.name() === 'worker' ? [command, ...leaves] : leaves;
}

/** `task list`. */
function pathOf(command: Command): string {
  return command.parent?.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}
