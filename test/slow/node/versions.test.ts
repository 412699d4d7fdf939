import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';

/** The versions after the oldest supported one, on which all other tests run. */
const VERSIONS = [22, 24];
const COMMAND = resolve(import.meta.dirname, '../../../dist/cli/main.js');
const INSTALL_LIMIT_MS = 110_000;

/** Returns the path of this version of Node from the npm package `node`; null if npm cannot install it. */
function installNode(version: number): string | null {
  // The test's own process has options that npm's processes must not get.
  const { NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const args = ['exec', '--yes', '--prefer-offline', `--package=node@${version}`, '--', 'node', '-p', 'process.execPath'];
  const { status, stdout } = spawnSync('npm', args, { cwd: tmpdir(), env, encoding: 'utf8', timeout: INSTALL_LIMIT_MS });
  return status === 0 ? stdout.trim() : null;
}

for (const version of VERSIONS) {
  const node = installNode(version);
  const skip = node === null && process.env['CI'] === undefined && 'npm could not install this version of Node';

  describe(`On Node ${version}`, { skip }, () => {
    test('a fleet starts, runs a task, stops another, passes its check-up and serves its pages', async () => {
      assert.ok(node !== null, 'npm could not install this version of Node');
      assert.equal(await majorOf(node), version);
      const folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-node-')));
      const start = (...args: string[]): NodeProcess => spawnNode([COMMAND, ...args], { node, cwd: folder });
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

async function majorOf(node: string): Promise<number> {
  const probe = spawnNode(['-p', 'process.versions.node'], { node });
  await probe.exit;
  return Number.parseInt(probe.stdout.text, 10);
}
