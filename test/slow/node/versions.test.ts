import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { installNode } from '../../support/process/node-version.js';
import { ownPort } from '../../support/process/ports.js';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';

/** The versions after the oldest supported one, on which all other tests run. */
const VERSIONS = [22, 24];
const ROOT = resolve(import.meta.dirname, '../../..');
const COMMAND = join(ROOT, 'dist/cli/main.js');
/** In TypeScript, which these versions run as it is. */
const SOURCES = {
  'text.ts': `export const textOf = (who: string): string => \`Hello \${who}\`;\n`,
  'typed.ts': `import { type TaskContext, defineHandler, defineTask } from 'taskfleet';
import { z } from 'zod';
import { textOf } from './text.ts';
const hello = defineTask({ name: 'typed.hello', input: z.object({ who: z.string() }) });
export default [defineHandler(hello, ({ input }: TaskContext<{ who: string }>): string => textOf(input.who), { isolate: true })];
`,
  'common.cts': `const { defineHandler, defineTask }: typeof import('taskfleet') = require('taskfleet');
const { z }: typeof import('zod') = require('zod');
module.exports = [defineHandler(defineTask({ name: 'common.hello', input: z.unknown() }), (): string => 'Hello from cts')];
`,
  'compiled.ts': `import { defineHandler, defineTask } from 'taskfleet';
import { z } from 'zod';
export const hooks = { onTaskFinished: (): void => undefined };
export default [defineHandler(defineTask({ name: 'compiled.hello', input: z.unknown() }), (): string => 'Hello from tsc')];
`,
} as const;

for (const version of VERSIONS) {
  const node = await installNode(version);
  const skip = node === null && process.env['CI'] === undefined && 'npm could not install this version of Node';

  describe(`On Node ${version}`, { skip }, () => {
    test('a fleet starts, runs a task, stops another, passes its check-up and serves its pages', async () => {
      assert.ok(node !== null, 'npm could not install this version of Node');
      assert.equal(await majorOf(node), version);
      const folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-node-')));
      await writeModules(folder);
      const env = { TASK_MODULES: './typed.ts,./common.cts,./compiled.js', EMBEDDED_REDIS_PORT: String(await ownPort()), API_PORT: '0' };
      const start = (...args: string[]): NodeProcess => spawnNode([COMMAND, ...args], { node, env, cwd: folder });
      const run = async (...args: string[]): Promise<string> => {
        const command = start(...args);
        const { code } = await command.exit;
        assert.equal(code, 0, `${args.join(' ')}\n${command.stdout.text}\n${command.stderr.text}`);
        return command.stdout.text;
      };
      const fleet = start('up', '--workers', '1');
      try {
        const { groups } = await fleet.waitForLine(/^Dashboard (?<url>http:\/\/127\.0\.0\.1:\d+)/);
        await fleet.waitForLine(/^Ready after /);
        assert.match(await run('task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":1}', '--wait'), /completed/);
        const enqueue = (name: string, ...input: string[]): Promise<string> => run('task', 'enqueue', name, '--wait', ...input);
        assert.match(await enqueue('typed.hello', '--input', '{"who":"Ada"}'), /Hello Ada/);
        assert.match(await enqueue('common.hello'), /Hello from cts/);
        assert.match(await enqueue('compiled.hello'), /Hello from tsc/);
        await run('task', 'enqueue', 'fleet.canary', '--id', 'long', '--input', '{"run_ms":600000}');
        await run('task', 'stop', 'long');
        assert.match(await run('task', 'show', 'long'), /^state +cancelled$/m);
        await run('doctor');
        const page = await fetch(`${groups?.['url']}/`);
        assert.deepEqual([page.status, /<title>/.test(await page.text())], [200, true]);
        fleet.kill('SIGTERM');
        assert.deepEqual(await fleet.exit, { code: 0, signal: null });
      } finally {
        await fleet.stop();
        await rm(folder, { recursive: true, force: true });
      }
    });
  });
}

/** Writes the task modules, one of them compiled to CommonJS, for a project without "type": "module". */
async function writeModules(folder: string): Promise<void> {
  await mkdir(join(folder, 'node_modules'));
  await symlink(ROOT, join(folder, 'node_modules/taskfleet'), 'dir');
  await symlink(join(ROOT, 'node_modules/zod'), join(folder, 'node_modules/zod'), 'dir');
  await writeFile(join(folder, 'package.json'), '{}');
  for (const [name, text] of Object.entries(SOURCES)) await writeFile(join(folder, name), text);
  const options = ['--ignoreConfig', '--noCheck', '--module', 'commonjs', '--moduleResolution', 'bundler', '--target', 'es2022'];
  const compiler = spawnNode([join(ROOT, 'node_modules/typescript/bin/tsc'), ...options, 'compiled.ts'], { cwd: folder });
  await compiler.exit;
  assert.match(await readFile(join(folder, 'compiled.js'), 'utf8'), /exports\.default = /);
}

async function majorOf(node: string): Promise<number> {
  const probe = spawnNode(['-p', 'process.versions.node'], { node });
  await probe.exit;
  return Number.parseInt(probe.stdout.text, 10);
}
