import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { installProject } from '../../support/examples/project.js';
import { packedTarball } from '../../support/examples/tarball.js';
import { spawnNode } from '../../support/process/processes.js';

/** Whose types the doors `ai` and `telemetry` refer to, and the checks of packages. */
const PACKAGES = ['zod', '@types/node@20', 'ai@7', '@opentelemetry/api', 'publint@0.3', '@arethetypeswrong/cli@0.18'];

const PROGRAM = `
import { FleetError, RetryAfter, defineHandler, defineTask, type TaskContext } from 'taskfleet';
import { TaskCancelled, createProducer, type Producer } from 'taskfleet/producer';
import { createWorker } from 'taskfleet/worker';
import { createDashboard } from 'taskfleet/dashboard';
import { runHandler } from 'taskfleet/testing';
import { TaskfleetClient } from 'taskfleet/client';
import * as telemetry from 'taskfleet/telemetry';
import { z } from 'zod';

const hello = defineTask({ name: 'hello', input: z.object({ who: z.string() }), output: z.object({ text: z.string() }) });
export const handler = defineHandler(hello, ({ input }: TaskContext<{ who: string }>) => ({ text: input.who }));
export const producer: Producer = createProducer({ redisUrl: 'redis://127.0.0.1' });
export async function greet(): Promise<string> {
  const task = await producer.enqueue(hello, { who: 'Ada' });
  // @ts-expect-error The input is typed.
  await producer.enqueue(hello, { who: 1 });
  return (await producer.result(task)).text;
}
export class Mine extends FleetError {}
export const textOf = (error: unknown): string =>
  error instanceof TaskCancelled ? error.message : error instanceof FleetError ? error.code : '';
export const used = [createWorker, createDashboard, runHandler, new TaskfleetClient({ baseUrl: '' }), RetryAfter, telemetry];
// An entry point without types would be \`any\`, which accepts every name.
export const name: 'no such name' extends keyof typeof telemetry ? never : string = '';
`;
const AI = `import { emitUIMessageStream } from 'taskfleet/ai'; export const used: object = emitUIMessageStream;`;

describe('the types of the published package', () => {
  let folder: string;
  const cleanups: (() => Promise<void>)[] = [];
  before(async () => {
    folder = await installProject({ after: (clean) => void cleanups.push(clean) }, PACKAGES);
    for (const extension of ['ts', 'mts', 'cts']) {
      await writeFile(join(folder, `program.${extension}`), PROGRAM);
      await writeFile(join(folder, `chat.${extension}`), AI);
    }
  });
  after(() => Promise.all(cleanups.map((clean) => clean())));

  async function node(...args: string[]): Promise<string> {
    const child = spawnNode(args, { cwd: folder });
    const { code } = await child.exit;
    assert.equal(code, 0, `${args.join(' ')}\n${child.stdout.text}\n${child.stderr.text}`);
    return child.stdout.text;
  }
  const bin = (name: string): string => join(folder, 'node_modules/.bin', name);
  const COMPILER = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  const OPTIONS = ['--strict', '--noEmit', '--target', 'es2022', '--types', 'node'];
  const PROGRAMS = ['program.ts', 'program.mts', 'program.cts'];
  const ALL = [...PROGRAMS, 'chat.ts', 'chat.mts', 'chat.cts'];

  test('compile in ES modules and in CommonJS, and are right themselves', async () => {
    await node(COMPILER, ...OPTIONS, '--module', 'nodenext', '--skipLibCheck', 'false', ...PROGRAMS);
  });

  for (const [module, resolution] of [
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ] as const) {
    test(`compile with moduleResolution ${resolution}, in ES modules and in CommonJS`, async () => {
      await node(COMPILER, ...OPTIONS, '--module', module, '--moduleResolution', resolution, '--skipLibCheck', ...ALL);
    });
  }

  // TypeScript 7 no longer has node10; attw brings TypeScript 5.6.
  test('compile with moduleResolution node10 and skipLibCheck', async () => {
    const options = ['--module', 'commonjs', '--moduleResolution', 'node10', '--esModuleInterop', '--skipLibCheck'];
    await node(bin('tsc'), ...OPTIONS, ...options, 'program.ts', 'chat.ts');
  });

  test('publint finds nothing', async () => {
    assert.match(await node(bin('publint'), 'run', await packedTarball(), '--strict'), /All good!/);
  });

  test('attw finds nothing, with its strictest profile', async () => {
    assert.match(await node(bin('attw'), '--profile', 'strict', '--no-color', await packedTarball()), /No problems found/);
  });
});
