import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { spawnNode } from '../../support/process/processes.js';

const ROOT = join(import.meta.dirname, '../../..');
/** Packages that together take most of a second to load. */
const SLOW = ['bullmq', 'ioredis', 'express', 'pino', 'piscina', 'zod'] as const;
/** The commands' folders whose modules count as loaded commands. */
const COMMANDS = join('dist', 'cli', 'commands');
/** Prints a line for each module that an import resolves to; packages in CommonJS are seen by their entry. */
const HOOKS = `
  import { writeSync } from 'node:fs';
  export async function load(url, context, next) {
    writeSync(2, 'loaded ' + url + '\\n');
    return next(url, context);
  }`;
const TELL = `data:text/javascript,${encodeURIComponent(
  `import { register } from 'node:module'; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(HOOKS)}`)});`,
)}`;

interface Loaded {
  /** The packages of SLOW. */
  readonly packages: readonly string[];
  /** Modules of commands, without their folder. */
  readonly commands: readonly string[];
  /** Number of modules of this package. */
  readonly own: number;
}

async function loadedBy(...args: string[]): Promise<Loaded> {
  const command = spawnNode(['--import', TELL, join(ROOT, 'dist/cli/main.js'), ...args]);
  await command.exit;
  const modules = command.stderr.lines.flatMap((line) => /^loaded file:\/\/(.*)$/.exec(line)?.[1] ?? []);
  return {
    packages: SLOW.filter((name) => modules.some((module) => module.includes(join('node_modules', name, '/')))),
    commands: modules.flatMap((module) => module.split(`${COMMANDS}/`)[1] ?? []).toSorted(),
    own: modules.filter((module) => module.startsWith(join(ROOT, 'dist'))).length,
  };
}

describe('the command loads only what it needs', { concurrency: true }, () => {
  for (const args of [['--version'], ['--help'], ['tsk']]) {
    it(`and no command for ${args.join(' ')}`, async () => {
      const { packages, commands, own } = await loadedBy(...args);
      assert.deepEqual([packages, commands], [[], []]);
      assert.ok(own < 15, `${own} modules`);
    });
  }

  for (const [words, file] of [
    ['queue pause --help', 'queue.js'],
    ['top --help', 'top.js'],
    ['completion bash', 'completion.js'],
    ['complete -- to', 'completion.js'],
    ['token create --name ada --role viewer', 'token.js'],
  ] as const) {
    it(`and only its own command for ${words}`, async () => {
      const { packages, commands } = await loadedBy(...words.split(' '));
      assert.deepEqual([packages.filter((name) => name !== 'zod'), commands], [[], [file]]);
    });
  }

  it('and no client of Redis over the API or for help', async () => {
    for (const args of [
      ['task', 'list', '--help'],
      ['task', 'list', '--api', 'http://127.0.0.1:1'],
    ])
      assert.deepEqual(
        (await loadedBy(...args)).packages.filter((name) => name !== 'zod'),
        [],
        args.join(' '),
      );
  });

  it('BullMQ and no web server for commands over Redis; no BullMQ to complete names', async () => {
    const [list, names] = await Promise.all([
      loadedBy('task', 'list', '--redis', 'redis://127.0.0.1:1'),
      loadedBy('complete', '--', '--redis', 'redis://127.0.0.1:1', 'task', 'enqueue', ''),
    ]);
    assert.deepEqual(list.packages, ['bullmq', 'ioredis', 'pino', 'zod']);
    assert.deepEqual(names.packages, ['ioredis', 'pino', 'zod']);
  });
});
