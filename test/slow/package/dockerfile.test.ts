import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

interface Instruction {
  readonly word: string;
  readonly rest: string;
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const stages = parseStages(readFileSync(resolve(root, 'Dockerfile'), 'utf8'));
const runtime = stages.at(-1) ?? [];

/** Returns the instructions of each stage, with continued lines joined and without comments. */
function parseStages(text: string): Instruction[][] {
  const parsed: Instruction[][] = [];
  for (const line of text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')) {
    const match = /^(?<word>[A-Z]+)\s+(?<rest>.*)$/.exec(line.trim());
    if (!match?.groups) continue;
    const { word = '', rest = '' } = match.groups;
    if (word === 'FROM') parsed.push([]);
    parsed.at(-1)?.push({ word, rest });
  }
  return parsed;
}

function last(word: string): string {
  const rest = runtime.findLast((instruction) => instruction.word === word)?.rest;
  assert.ok(rest !== undefined, `the runtime stage has no ${word}`);
  return rest;
}

/** Returns the words of an instruction in exec form; the shell form is not JSON. */
function execForm(text: string): string[] {
  const list: unknown = JSON.parse(text);
  assert.ok(Array.isArray(list) && list.every((word) => typeof word === 'string'));
  return list;
}

describe('the Dockerfile', () => {
  const copies = stages.flat().filter(({ word }) => word === 'COPY');
  const fromContext = copies.filter(({ rest }) => !rest.includes('--from=')).flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1));

  test('copies only existing files outside .dockerignore', () => {
    const ignored = readFileSync(resolve(root, '.dockerignore'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    assert.ok(fromContext.length > 0);
    for (const path of fromContext) {
      assert.ok(existsSync(resolve(root, path)), `${path} does not exist`);
      assert.ok(!ignored.includes(path), `.dockerignore holds back ${path}`);
    }
  });

  test('copies all sources of the build', () => {
    const { include } = JSON.parse(readFileSync(resolve(root, 'tsconfig.build.json'), 'utf8')) as { include: string[] };
    assert.deepEqual(
      [...include, 'scripts'].filter((path) => !fromContext.includes(path)),
      [],
    );
  });

  test('copies all inputs of the build', () => {
    const { include } = JSON.parse(readFileSync(resolve(root, 'tsconfig.build.json'), 'utf8')) as { include: string[] };
    for (const path of [...include, 'tsconfig.json', 'tsconfig.build.json', 'scripts']) assert.ok(fromContext.includes(path), path);
  });

  test('has one LTS release of Node in all stages, which the package supports', () => {
    const { engines } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as { engines: { node: string } };
    const oldest = Number(/\d+/.exec(engines.node)?.[0]);
    const majors = [...new Set(stages.map(([from]) => /^node:(\d+)-/.exec(from?.rest ?? '')?.[1]))].map(Number);
    assert.equal(majors.length, 1);
    assert.ok(majors[0] !== undefined && majors[0] >= oldest && majors[0] % 2 === 0, `Node ${majors[0]}`);
  });

  test('has only production dependencies in the image', () => {
    const source = runtime.find(({ word, rest }) => word === 'COPY' && rest.includes('node_modules'))?.rest ?? '';
    const name = /--from=(?<name>\S+)/.exec(source)?.groups?.['name'];
    const stage = stages.find(([from]) => from?.rest.endsWith(` AS ${name}`)) ?? [];
    assert.match(stage.find(({ word }) => word === 'RUN')?.rest ?? '', /^npm ci --omit=dev/);
  });

  test('does not run as root', () => {
    assert.equal(last('USER'), 'node');
  });

  test('lets signals reach node: exec form and SIGTERM', () => {
    assert.equal(execForm(last('ENTRYPOINT'))[0], 'node');
    assert.equal(last('STOPSIGNAL'), 'SIGTERM');
  });

  test('starts a file of the build with a known command', () => {
    const [, file = ''] = execForm(last('ENTRYPOINT'));
    assertKnown(file, execForm(last('CMD'))[0] ?? '');
  });

  test('checks its health with a command of the build', () => {
    const [node, file = '', command = ''] = execForm(last('HEALTHCHECK').replace(/^.*?CMD /, ''));
    assert.equal(node, 'node');
    assertKnown(file, command);
  });

  function assertKnown(file: string, command: string): void {
    const { status, stdout, stderr } = spawnSync(process.execPath, [resolve(root, file), command, '--help'], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`taskfleet ${command}\\b`));
  }
});
