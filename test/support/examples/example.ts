import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { installNode } from '../process/node-version.js';
import { NodeProcess } from '../process/processes.js';
import { removeAtExit } from '../process/reaper.js';
import { oneAtATime, pathWith, runNpm } from './npm.js';
import { packedTarball } from './tarball.js';

const root = join(import.meta.dirname, '../../..');
const NOT_COPIED = new Set(['node_modules', 'dist', '.next', 'package-lock.json']);

export interface ExampleOptions {
  /** The major version of Node to install and run the example with, from the npm package `node`. Default: this process's. */
  readonly node?: number;
  /** For everything that the example runs. Default: none. */
  readonly env?: Readonly<Record<string, string>>;
}

interface PackageFile {
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/**
 * Installs a copy of examples/<name> in a temporary folder, as after a clone of the repository, but with the packed package: what users
 * get from the registry. The example's own dependencies come from the registry.
 * @param t removes the copy and ends what still runs when this test ends
 */
export async function installExample(t: Cleanup, name: string, options: ExampleOptions = {}): Promise<Example> {
  const node = options.node === undefined ? process.execPath : await installNode(options.node);
  assert.ok(node !== null, `npm could not install Node ${options.node}`);
  const folder = await realpath(await mkdtemp(join(tmpdir(), `taskfleet-${name}-`)));
  removeAtExit(folder);
  const example = new Example(folder, node, options.env ?? {});
  t.after(async () => {
    await example.stop();
    await rm(folder, { recursive: true, force: true });
  });
  await cp(join(root, 'examples', name), folder, { recursive: true, filter: (path) => !NOT_COPIED.has(basename(path)) });
  await usePacked(join(folder, 'package.json'));
  await runNpm(folder, ['install', '--no-package-lock'], node);
  return example;
}

/** What `installExample` needs of a test: a TestContext, or `{ after }` of node:test for a whole suite. */
export interface Cleanup {
  after(clean: () => Promise<void>): void;
}

/** An installed example. */
export class Example {
  readonly #processes: NodeProcess[] = [];

  constructor(
    readonly folder: string,
    private readonly node: string,
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  /** Starts a command in the folder: `example.start('npm', ['start'], { PORT: '0' })`. It has a clean environment beside `env`. */
  start(command: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): NodeProcess {
    const child = spawn(command, args, {
      env: { PATH: pathWith(this.node), HOME: process.env['HOME'], TMPDIR: process.env['TMPDIR'], ...this.env, ...env },
      cwd: this.folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const started = new NodeProcess(child, [command, ...args].join(' '));
    this.#processes.push(started);
    return started;
  }

  /**
   * Starts a script of the example's package.json as `npm run` does, but without npm and its shell between: they do not wait for a
   * server that shuts down after a signal.
   */
  async startScript(name: string, env: Readonly<Record<string, string>> = {}): Promise<NodeProcess> {
    const { scripts } = JSON.parse(await readFile(join(this.folder, 'package.json'), 'utf8')) as PackageFile;
    const script = scripts?.[name];
    assert.ok(script !== undefined, `The example has no script ${name}`);
    const PATH = `${join(this.folder, 'node_modules/.bin')}:${pathWith(this.node)}`;
    return this.start('sh', ['-c', `exec env ${script}`], { PATH, ...env });
  }

  /**
   * Runs a command in the folder to its end, and resolves with its standard output: `example.run('npm', ['test'])`.
   * @throws an error with the command's output if it fails
   */
  async run(command: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const started = await oneAtATime(async () => {
      const one = this.start(command, args, env);
      await one.exit;
      return one;
    });
    const { code, signal } = await started.exit;
    const end = [`${[command, ...args].join(' ')} ended with ${signal ?? `code ${code}`}`, started.stdout.text, started.stderr.text];
    assert.equal(code, 0, end.join('\n'));
    return started.stdout.text;
  }

  /** Ends what still runs. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()));
  }
}

/** Replaces the dependency on the repository with one on the tarball. */
async function usePacked(path: string): Promise<void> {
  const file = JSON.parse(await readFile(path, 'utf8')) as PackageFile;
  assert.equal(file.dependencies?.['taskfleet'], 'file:../..', `${path}: expected taskfleet as a dependency on the repository`);
  const dependencies = { ...file.dependencies, taskfleet: `file:${await packedTarball()}` };
  await writeFile(path, JSON.stringify({ ...file, dependencies }, null, 2));
}
