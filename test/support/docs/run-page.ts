import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { built } from '../process/built.js';
import { ownPort } from '../process/ports.js';
import { NodeProcess } from '../process/processes.js';
import { missingOutput } from './expected-output.js';
import { SEPARATOR, scriptOf } from './page-script.js';
import type { Page } from './snippets.js';

/** For all steps of a page. */
const LIMIT_MS = 450_000;
const SHOWN_LINES = 30;
const NO_NPM = 'echo "A fence with npm needs a test of its own: <!-- run by: test/slow/… -->" >&2; exit 1';

/**
 * Runs the steps of a page in its folder, with REDIS_URL set and a dashboard's port of its own.
 * @throws an error with the output, unless every step ended as the page says and printed what the page promises
 */
export async function runPage(page: Page, folder: string, redisUrl: string): Promise<void> {
  if (page.steps.length === 0) return;
  const port = await ownPort();
  await writeFile(join(folder, 'page.sh'), scriptOf(page, port));
  const env = { PATH: await pathFor(folder), HOME: folder, REDIS_URL: redisUrl, API_PORT: String(port), NO_COLOR: '1' };
  const child = spawn('bash', ['page.sh'], { cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const script = new NodeProcess(child, `the snippets of ${page.path}`);
  const timer = setTimeout(() => script.kill('SIGKILL'), LIMIT_MS);
  const status = await script.exit;
  clearTimeout(timer);
  const outputs = script.stdout.text.split(SEPARATOR);
  const missing = page.steps
    .map((step, index) => ({ step, line: missingOutput(page, step, outputs[index] ?? '') }))
    .find(({ line }) => line !== null);
  if (status.code === 0 && missing === undefined) return;
  const background = await readFile(join(folder, 'background.log'), 'utf8').catch(() => '');
  const what =
    status.code === 0
      ? `${page.path}:${missing?.step.line}: expected this line, or it came too early: ${missing?.line}`
      : `${page.path}: ended with ${JSON.stringify(status)} at the last line named below`;
  const parts = { stdout: script.stdout.text, stderr: script.stderr.text, background };
  const shown = Object.entries(parts).map(([name, text]) => `--- ${name}\n${text.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n')}`);
  throw new Error([what, ...shown].join('\n'));
}

/** Returns a PATH on which `taskfleet` is the tested command, and `npx` and `tsx` run without npm and on compiled files. */
async function pathFor(folder: string): Promise<string> {
  const bin = join(folder, 'node_modules/.bin');
  await mkdir(bin, { recursive: true });
  const commands = { taskfleet: `exec node ${built('dist/cli/main.js')} "$@"`, npx: 'exec "$@"', tsx: 'exec node "$@"', npm: NO_NPM };
  for (const [name, command] of Object.entries(commands)) await writeFile(join(bin, name), `#!/bin/sh\n${command}\n`, { mode: 0o755 });
  return [bin, dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter);
}
