import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';
import { stateOf } from '../../support/runner/run-file.js';

const RUN_FILE = join(import.meta.dirname, '../../support/runner/run-file.ts');
const LIMITS = { testMs: 60_000, startMs: 60_000, idleMs: 60_000 };
const FOR_EVER = 'await new Promise(() => setInterval(() => undefined, 1_000));';

describe('A process that runs test files', () => {
  let folder: string;
  let claims: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-run-file-'));
    claims = join(folder, 'claims');
    await mkdir(claims);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Starts a process for these files, each given as its source text. */
  async function start(files: Readonly<Record<string, string>>, { limits = LIMITS, order = 'forwards' } = {}): Promise<NodeProcess> {
    const loads = Object.entries(files).map(([path, source]) => `${JSON.stringify(path)}: async () => { ${source} },`);
    const script = [
      `import { after, afterEach, before, beforeEach, it } from 'node:test';`,
      `import { runFiles } from ${JSON.stringify(RUN_FILE)};`,
      `const say = (word) => console.error('SAID ' + word);`,
      `await runFiles({ ${loads.join('\n')} }, ${JSON.stringify(claims)}, ${JSON.stringify({ limits, order })});`,
    ];
    const path = join(folder, 'script.mjs');
    await writeFile(path, script.join('\n'));
    return spawnNode(['--import', 'tsx', '--test-reporter=tap', path]);
  }

  const said = ({ stderr }: NodeProcess): string[] =>
    stderr.lines.filter((line) => line.startsWith('SAID ')).map((line) => line.slice('SAID '.length));
  const states = (...paths: string[]): string[] => paths.map((path) => stateOf(path, claims));

  it('loads a file once the hooks of the one before have run, and keeps their hooks apart', async () => {
    const file = (name: string): string =>
      `say('load ${name}'); before(() => say('before ${name}')); afterEach(() => say('each ${name}'));
       after(() => say('after ${name}')); it('${name}', () => undefined);`;
    const run = await start({ 'test/a.test.ts': file('a'), 'test/b.test.ts': file('b') });
    assert.deepEqual(await run.exit, { code: 0, signal: null });
    assert.deepEqual(
      said(run),
      ['a', 'b'].flatMap((name) => [`load ${name}`, `before ${name}`, `each ${name}`, `after ${name}`]),
    );
    assert.deepEqual(states('test/a.test.ts', 'test/b.test.ts'), ['done', 'done']);
  });

  for (const [what, limit, source, message] of [
    ['a test', 'testMs', `it('hangs', async () => { ${FOR_EVER} });`, /The test "hangs" of test\/a.test.ts did not end within 0.5 s/],
    [
      'a before hook',
      'startMs',
      `before(async () => { ${FOR_EVER} }); it('waits', () => undefined);`,
      /test\/a.test.ts has started no test within 0.5 s/,
    ],
    ['an import', 'startMs', FOR_EVER, /test\/a.test.ts has started no test within 0.5 s/],
    [
      'an after hook',
      'idleMs',
      `after(async () => { ${FOR_EVER} }); it('ends', () => undefined);`,
      /test\/a.test.ts has started no further test/,
    ],
  ] as const) {
    it(`ends, and names the file, when ${what} hangs`, async () => {
      const run = await start({ 'test/a.test.ts': source, 'test/b.test.ts': '' }, { limits: { ...LIMITS, [limit]: 500 } });
      assert.deepEqual(await run.exit, { code: 1, signal: null });
      assert.match(run.stderr.text, message);
      assert.deepEqual(states('test/a.test.ts', 'test/b.test.ts'), ['begun', 'not begun']);
    });
  }

  it('reports a file that cannot be imported, and runs the next', async () => {
    const run = await start({ 'test/a.test.ts': `throw new Error('broken');`, 'test/b.test.ts': `it('runs', () => say('b'));` });
    assert.equal((await run.exit).code, 1);
    assert.match(run.stdout.text, /not ok 1 - test\/a.test.ts[^]*broken[^]*ok 2 - test\/b.test.ts/);
    assert.deepEqual([said(run), states('test/b.test.ts')], [['b'], ['done']]);
  });

  it('fails a file that leaves the clock mocked, and names it', async () => {
    const restored = `it('mocks', (t) => { t.mock.method(Date, 'now', () => 0); t.mock.timers.enable({ apis: ['setTimeout'] }); });`;
    const left = `it('mocks', () => { Date.now = () => 0; globalThis.setInterval = () => 0; });`;
    const run = await start({ 'test/a.test.ts': restored, 'test/b.test.ts': left });
    assert.equal((await run.exit).code, 1);
    assert.match(run.stdout.text, /ok 1 - test\/a.test.ts[^]*test\/b.test.ts has left mocks[^]*'setInterval'[^]*'Date.now'/);
    assert.deepEqual(states('test/a.test.ts', 'test/b.test.ts'), ['done', 'done']);
  });

  it('does not wait for a test that skips itself', async () => {
    const more = `it('goes on', () => new Promise((resolve) => setTimeout(resolve, 800)));`;
    const run = await start(
      { 'test/a.test.ts': `it('skips', (t) => t.skip()); ${more} ${more} ${more}` },
      { limits: { ...LIMITS, testMs: 2_000 } },
    );
    assert.deepEqual(await run.exit, { code: 0, signal: null }, run.stderr.text);
  });

  it('shares the files with others, and each runs once', async () => {
    const files = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`test/${n}.test.ts`, `it('runs', () => say('${n}'));`]));
    const runs = [await start(files), await start(files, { order: 'backwards' })];
    for (const run of runs) assert.deepEqual(await run.exit, { code: 0, signal: null });
    assert.deepEqual(
      runs.flatMap(said).toSorted((a, b) => Number(a) - Number(b)),
      Array.from({ length: 20 }, (_, n) => String(n)),
    );
  });
});
