import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { fleetCanary } from '../../../../worker/builtin/definitions.js';
import { CliFleet } from '../../../support/fleet/cli-fleet.js';
import { COMMAND, type CommandResult, startCommand } from '../../../support/process/command.js';
import { NodeProcess } from '../../../support/process/processes.js';
import { startCli } from '../../../support/process/run-cli.js';
import { KEEP } from '../../../support/task/keep.js';

describe('taskfleet task watch', () => {
  let fleet: CliFleet;
  let producer: Producer;
  let env: CliFleet['env'];

  before(async () => {
    fleet = await CliFleet.start();
    ({ producer, env } = fleet);
  });
  after(() => fleet.stop());

  const task = (...args: string[]): Promise<CommandResult> => fleet.task(...args);

  /** Enqueues a task of tasks.mjs without the command. */
  async function add(name: string, id: string, attempts = 1): Promise<void> {
    const definition = defineTask({ name, input: z.strictObject({}), retry: { attempts, backoff: { delayMs: 0 } }, retention: KEEP });
    await producer.enqueue(definition, {}, { id });
  }

  /** Enqueues a task and waits until it ends. */
  async function run(name: string, id: string, attempts = 1): Promise<void> {
    await add(name, id, attempts);
    await producer.result(id).catch(() => undefined);
  }

  /** Runs a program around the real command, without blocking the worker in this process. */
  async function shell(program: string, args: readonly string[]): Promise<CommandResult> {
    const child = new NodeProcess(
      spawn(program, args, { env: { ...process.env, ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] }),
      program,
    );
    const { code } = await child.exit;
    return { code, stdout: child.stdout.text, stderr: child.stderr.text };
  }

  it('in a pipe prints states, progress and output as lines; exits with code 4 on a stop', async () => {
    await add('test.talk', 'watched');
    const watch = startCli(['task', 'watch', 'watched'], { env });
    await watch.waitForLine(/^waiting$/);
    await producer.stop('watched', { by: 'me', reason: 'enough' });
    assert.equal((await watch.exit).code, 4);
    const lines = watch.stdout.lines.filter((line) => line !== 'state stopping');
    assert.deepEqual(lines, ['state queued', 'state running', 'progress 40', 'Hello, world', '{"n":1}', 'waiting', 'state cancelled']);
    assert.match(watch.stderr.text, /■ cancelled by me: enough \(via signal, .* m?s\)/);
  });

  it('replays a finished task as JSON lines, also from a given event', async () => {
    const { stdout } = await task('watch', 'watched', '-o', 'json');
    const events = stdout
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; id: string | null; state?: string; chunk?: unknown });
    assert.deepEqual(
      events.filter(({ type }) => type === 'chunk').map(({ chunk }) => chunk),
      ['Hello, ', 'world', { n: 1 }, 'waiting\n'],
    );
    assert.equal(events.at(-1)?.state, 'cancelled');
    const third = events.findIndex(({ chunk }) => typeof chunk === 'object');
    const rest = await task('watch', 'watched', '-o', 'json', '--after', events[third]?.id ?? '');
    assert.equal(
      rest.stdout,
      stdout
        .split('\n')
        .slice(third + 1)
        .join('\n'),
    );
  });

  it('starts a new line when a retry starts', async () => {
    await run('test.flaky', 'flaky', 2);
    const { code, stdout } = await task('watch', 'flaky');
    assert.equal(code, 0);
    const lines = stdout.split('\n').map((line) => line.replace(/; next at [\dTZ:.-]+$/, ''));
    const failed = 'state retrying: attempt 1 failed: not yet';
    assert.deepEqual(lines, ['state queued', 'state running', 'attempt 1', failed, 'state running', 'attempt 2', 'state completed']);
  });

  it("exits with the code of the task's final state", async () => {
    await run('test.fail', 'broken');
    const [failed, missing] = await Promise.all([task('watch', 'broken'), task('watch', 'missing')]);
    assert.deepEqual([failed.code, missing.code], [1, 3]);
    assert.match(failed.stderr, /failed.*: this never works/);
  });

  it('on Ctrl+C stops watching and reports that the task keeps running', async () => {
    await add('test.talk', 'still');
    const watch = startCommand(['task', 'watch', 'still'], { env });
    await watch.waitForLine(/^waiting$/);
    watch.kill('SIGINT');
    assert.equal((await watch.exit).code, 130);
    assert.match(watch.stderr.text, /task still keeps running\. To stop it: .* task stop still/);
    assert.equal((await producer.stop('still', { waitMs: 60_000 })).outcome, 'cancelled');
  });

  it('exits silently when the reader of its output is gone', async () => {
    await add('test.chatter', 'chatter');
    const script = `"$0" "$1" task watch chatter | head -n 3; echo "\${PIPESTATUS[0]}"`;
    const { code, stdout, stderr } = await shell('bash', ['-c', script, process.execPath, COMMAND]);
    assert.deepEqual([code, stdout, stderr], [0, 'state queued\nstate running\nblah\n0', '']);
    await producer.stop('chatter');
  });

  it('on a terminal shows a progress bar, then the final state', async (t) => {
    if (spawnSync('script', ['--version']).status !== 0) return t.skip('no script(1) to make a terminal');
    await producer.enqueue(fleetCanary, { run_ms: 1_500 }, { id: 'bar' });
    const terminal = await shell('script', ['-qec', `"${process.execPath}" "${COMMAND}" task watch bar`, '/dev/null']);
    assert.equal(terminal.code, 0);
    assert.match(terminal.stdout, /░/);
    assert.match(terminal.stdout, /✓ completed after \d+\.\d s/);
  });
});
