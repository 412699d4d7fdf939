import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual, promisify } from 'node:util';
import { SHELLS, type Shell } from '../../../cli/completion/scripts.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { COMMAND } from '../../support/process/command.js';
import { runCli } from '../../support/process/run-cli.js';
import { until } from '../../support/until.js';

const run = promisify(execFile);
const ATTEMPTS = 5;

/** Each prints the lines as the shell completes them with one Tab. */
const TRIALS: Readonly<Record<Shell, readonly string[]>> = {
  bash: [
    'bash',
    '--norc',
    '-c',
    `source <(taskfleet completion bash)
    for line in "$@"; do
      COMP_LINE=$line COMP_POINT=\${#line} COMPREPLY=()
      _taskfleet
      echo "$line: \${COMPREPLY[*]}"
    done`,
    'bash',
  ],
  fish: [
    'fish',
    '--no-config',
    '-c',
    'taskfleet completion fish | source; for line in $argv; complete -C $line | cut -f 1 | string join " " | sed "s/^/$line: /"; end',
  ],
  zsh: [
    'zsh',
    '-f',
    '-c',
    `zmodload zsh/zpty
    zpty -b shell zsh -f -i
    zpty -w shell 'autoload -U compinit; compinit -u -D; source <(taskfleet completion zsh)'
    zpty -w shell 'show() { print -r -- "[""[$BUFFER]""]"; zle kill-buffer }; zle -N show; bindkey "^X" show'
    for line in "$@"; do
      zpty -w -n shell "$line"$'\\t\\x18'
      shown=''
      while [[ $shown != *'[['*']]'* ]] && (( SECONDS < 45 )); do
        if zpty -r -t shell out; then shown+=$out; else sleep 0.02; fi
      done
      shown=\${shown##*'[['}
      print -r -- "\${shown%%']]'*}"
    done
    zpty -d shell`,
    'zsh',
  ],
};

async function isInstalled(shell: Shell): Promise<boolean> {
  return run(shell, ['-c', 'exit']).then(
    () => true,
    () => false,
  );
}

const installed = new Set((await Promise.all(SHELLS.map(async (shell) => ((await isInstalled(shell)) ? [shell] : [])))).flat());

describe('completion', () => {
  let fleet: TestFleet;
  let folder: string;
  let env: Record<string, string>;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-completion-'));
    await symlink(COMMAND, join(folder, 'taskfleet'));
    fleet = await TestFleet.onOneServer();
    await fleet.worker('completed', []);
    const { PATH = '', HOME = '' } = process.env;
    env = { PATH: folder + delimiter + PATH, HOME, REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: 'completed', TERM: 'xterm' };
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Returns the lines of a shell after one Tab on each. Names that Redis does not give within half a second are not proposed. */
  async function completed(shell: Shell, ...lines: string[]): Promise<string[]> {
    const [command = '', ...args] = TRIALS[shell];
    const { stdout } = await run(command, [...args, ...lines], { env, cwd: folder, timeout: 90_000 });
    return stdout.split('\n').slice(0, -1);
  }

  /** Asserts what a shell shows after one Tab on each line; on a busy machine, not at once. */
  async function completes(shell: Shell, lines: readonly string[], expected: readonly string[]): Promise<void> {
    let shown = await completed(shell, ...lines);
    for (let times = 1; times < ATTEMPTS && !isDeepStrictEqual(shown, expected); times += 1) shown = await completed(shell, ...lines);
    assert.deepEqual(shown, expected);
  }

  it('in bash proposes commands, values and names, also behind a word break', async () => {
    const lines = ['taskfleet ta', 'taskfleet task list --state fa', 'taskfleet task list --state=fa', 'taskfleet task list --queue '];
    await completes(
      'bash',
      [...lines, 'taskfleet task enqueue fleet.c'],
      [
        'taskfleet ta: task',
        'taskfleet task list --state fa: failed',
        'taskfleet task list --state=fa: failed',
        'taskfleet task list --queue : chat documents fleet maintenance',
        'taskfleet task enqueue fleet.c: fleet.canary',
      ],
    );
  });

  it('in fish proposes commands, values and names', { skip: !installed.has('fish') && 'fish is not installed' }, async () => {
    const lines = ['taskfleet ta', 'taskfleet task list --state=fa', 'taskfleet task enqueue fleet.c'];
    await completes('fish', lines, [
      'taskfleet ta: task',
      'taskfleet task list --state=fa: --state=failed',
      'taskfleet task enqueue fleet.c: fleet.canary',
    ]);
  });

  it('in zsh completes commands, values and names', { skip: !installed.has('zsh') && 'zsh is not installed' }, async () => {
    const lines = ['taskfleet ta', 'taskfleet task list --queue doc', 'taskfleet task enqueue fleet.c'];
    await completes('zsh', lines, ['taskfleet task ', 'taskfleet task list --queue documents ', 'taskfleet task enqueue fleet.canary ']);
  });

  it('proposes the ids of live tasks, and nothing, in silence, if nobody answers', async () => {
    const complete = (...words: string[]) => runCli(['complete', '--', ...words], { env, cwd: folder });
    const producer = fleet.producer({ keyPrefix: 'completed' });
    await producer.enqueue(fleetCanary, { run_ms: 1 }, { id: 'kept-1', delay: 3_600_000 });
    await until(
      () => complete('task', 'stop', ''),
      ({ stdout }) => stdout === 'kept-1',
    );
    const { port, close } = await deafServer();
    const started = performance.now();
    const away = [`redis://127.0.0.1:${port}`, 'redis://127.0.0.1:1'];
    for (const url of away) {
      const { code, stdout, stderr } = await complete('--redis', url, 'task', 'enqueue', '');
      assert.deepEqual([code, stdout, stderr], [0, '', '']);
    }
    const overApi = await complete('--api', `http://127.0.0.1:${port}`, 'task', 'enqueue', '');
    assert.deepEqual([overApi.code, overApi.stdout, overApi.stderr], [0, '', '']);
    assert.ok(performance.now() - started < 30_000);
    close();
  });
});

/** Starts a server that accepts connections and never answers. */
async function deafServer(): Promise<{ port: number; close: () => void }> {
  const server = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close().unref() };
}
