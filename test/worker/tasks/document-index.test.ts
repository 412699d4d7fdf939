import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { StopRequested } from '../../../shared/stop/cause.js';
import { type DocumentIndexInput, documentIndex } from '../../../shared/task/builtin/index.js';
import { documentIndexHandler } from '../../../worker/tasks/document-index.js';
import { TermIndex, termsOf } from '../../../worker/tasks/term-index.js';
import { createFakeContext, type FakeContextOptions, runHandler } from '../../support/task-context.js';

/** A folder of the given files that is gone after the test. */
async function folderOf(t: TestContext, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-documents-')));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

function run(documentRoot: string, input: Partial<DocumentIndexInput> = {}, options: FakeContextOptions = {}) {
  const fake = createFakeContext(documentIndex, input, options);
  return { fake, output: runHandler(documentIndex, documentIndexHandler({ documentRoot }), fake) };
}

const pathsOf = (output: { results: { path: string }[] }) => output.results.map(({ path }) => path);

describe('document.index', () => {
  it('counts documents, tokens and terms, and scores terms as computed by hand', async (t) => {
    const root = await folderOf(t, { 'a.md': 'Apple, apple and BANANA!', 'b.txt': 'the apple: cherry', 'c.html': 'ignored' });
    const { fake, output } = run(root);
    // N = 2. apple is in both: ln(3/3) + 1 = 1. banana and cherry are in one: ln(3/2) + 1 = 1.405465.
    assert.deepEqual(await output, {
      root: '.',
      documents: 2,
      terms: 3,
      tokens: 5,
      skipped: 0,
      truncated: false,
      results: [
        { path: 'a.md', tokens: 3, top_terms: [{ term: 'apple', score: 0.6667 }, { term: 'banana', score: 0.4685 }] },
        { path: 'b.txt', tokens: 2, top_terms: [{ term: 'cherry', score: 0.7027 }, { term: 'apple', score: 0.5 }] },
      ],
    });
    assert.deepEqual(fake.progress, [{ done: 0, total: 2 }, { done: 1, total: 2 }, { done: 2, total: 2 }]);
  });

  it('works where there is nothing to index', async (t) => {
    const root = await folderOf(t, { 'empty/picture.png': 'x', 'blank.md': '' });
    const nothing = { documents: 0, terms: 0, tokens: 0, skipped: 0, truncated: false, results: [] };
    assert.deepEqual(await run(root, { path: 'empty' }).output, { root: 'empty', ...nothing });
    const blank = await run(root).output;
    assert.deepEqual(blank.results, [{ path: 'blank.md', tokens: 0, top_terms: [] }]);
  });

  it('reads folders below its path in the order of their paths', async (t) => {
    const root = await folderOf(t, { 'in/b/z.md': 'x', 'in/b.md': 'x', 'in/a/deep/er.TXT': 'x', 'in/B.md': 'x', 'out.md': 'x' });
    const output = await run(root, { path: './in/../in' }).output;
    assert.equal(output.root, 'in');
    assert.deepEqual(pathsOf(output), ['B.md', 'a/deep/er.TXT', 'b.md', 'b/z.md']);
  });

  it('takes other extensions, in any case', async (t) => {
    const root = await folderOf(t, { 'a.RST': 'x', 'b.d.ts': 'x', 'c.ts': 'x', 'd.md': 'x' });
    assert.deepEqual(pathsOf(await run(root, { extensions: ['.rst', '.D.TS'] }).output), ['a.RST', 'b.d.ts']);
  });

  it('stops at max_files and says so', async (t) => {
    const root = await folderOf(t, { '1.md': 'x', '2.md': 'x', '3/3.md': 'x' });
    const cut = await run(root, { max_files: 2 }).output;
    assert.deepEqual([cut.documents, cut.truncated], [2, true]);
    const all = await run(root, { max_files: 3 }).output;
    assert.deepEqual([all.documents, all.truncated], [3, false]);
  });

  it('leaves out and counts what is binary, too long, or a link', async (t) => {
    const outside = await folderOf(t, { 'secret.md': 'secret' });
    const root = await folderOf(t, {
      'exact.md': 'x'.repeat(64),
      'long.md': 'x'.repeat(65),
      'nul.md': 'a\0b',
      'latin1.md': Uint8Array.from([0x63, 0x61, 0x66, 0xe9]),
      'bom.md': '\uFEFFword',
    });
    await symlink(join(outside, 'secret.md'), join(root, 'link.md'));
    await symlink(outside, join(root, 'linked-folder'));
    const output = await run(root, { max_file_bytes: 64 }).output;
    assert.deepEqual(pathsOf(output), ['bom.md', 'exact.md']);
    assert.equal(output.skipped, 5);
  });

  it('leaves out and counts what it may not read', async (t) => {
    if (process.getuid?.() === 0) return t.skip('root may read everything');
    const root = await folderOf(t, { 'closed.md': 'x', 'closed/in.md': 'x', 'open.md': 'x' });
    await chmod(join(root, 'closed.md'), 0);
    await chmod(join(root, 'closed'), 0);
    const output = await run(root).output;
    await chmod(join(root, 'closed'), 0o700);
    assert.deepEqual([pathsOf(output), output.skipped], [['open.md'], 2]);
  });

  it('refuses every way out of DOCUMENT_ROOT, for good and by name', async (t) => {
    const outside = await folderOf(t, { 'secret.md': 'secret' });
    const root = await folderOf(t, { 'inside/a.md': 'x', 'file.md': 'x' });
    await symlink(outside, join(root, 'out'));
    await symlink(join(root, 'inside'), join(root, 'in'));
    const absolute = join(root, 'inside');
    for (const path of ['..', '../', 'inside/../..', `../${outside.split('/').at(-1)}`, '/', absolute, 'out', 'out/.', 'none', 'file.md']) {
      await assert.rejects(run(root, { path }).output, (error: Error) => {
        assert.ok(error instanceof UnrecoverableError, `${path}: ${error.name}`);
        assert.equal(error.message, `path ${JSON.stringify(path.slice(0, 60))} is not a folder below DOCUMENT_ROOT`);
        return true;
      });
    }
    assert.equal((await run(root, { path: 'in' }).output).root, 'inside');
    assert.equal(documentIndex.input.safeParse({ path: 'a\0b' }).success, false);
  });

  it('lets a folder begin with two dots', async (t) => {
    const root = await folderOf(t, { '..data/a.md': 'x' });
    assert.equal((await run(root, { path: '..data' }).output).documents, 1);
  });

  it('throws the reason of an abort between two files', async (t) => {
    const root = await folderOf(t, { '1.md': 'x', '2.md': 'x', '3.md': 'x' });
    const reason = new StopRequested('enough');
    const { fake, output } = run(root, {}, { onProgress: () => fake.progress.length === 2 && fake.abort(reason) });
    await assert.rejects(output, (error) => error === reason);
    assert.deepEqual(fake.progress.at(-1), { done: 1, total: 3 });
  });

  it('always has a thread of its own', () => {
    assert.equal(documentIndexHandler({ documentRoot: '.' }).alwaysIsolated, true);
  });
});

describe('termsOf', () => {
  const cases: [string, string, string[]][] = [
    ['lower-cases and drops punctuation', 'Redis-backed QUEUES, 2 of 37!', ['redis', 'backed', 'queues', '37']],
    ['drops stop words', 'The worker and its queue', ['worker', 'queue']],
    ['brings equal characters to one form', 'ﬁle cafe\u0301 ＡＢＣ', ['file', 'café', 'abc']],
    ['knows other scripts', 'Привет мир, γειά σου 東京', ['привет', 'мир', 'γειά', 'σου', '東京']],
    ['keeps vowel signs in their word', 'हिन्दी भाषा', ['हिन्दी', 'भाषा']],
    ['counts characters, not UTF-16 units', `𐐀 𐐀𐐀 ${'𐐨'.repeat(40)}`, ['𐐨𐐨', '𐐨'.repeat(40)]],
    ['drops what is too short or too long', `x ${'y'.repeat(40)} ${'z'.repeat(41)}`, ['y'.repeat(40)]],
    ['finds nothing in nothing', ' … ', []],
  ];
  for (const [what, text, terms] of cases) {
    it(what, () => assert.deepEqual([...termsOf(text)], terms));
  }
});

describe('TermIndex', () => {
  it('puts equal scores in the order of the terms, and ranks before it rounds', () => {
    const index = new TermIndex();
    index.add('zebra mango zebra mango kiwi');
    assert.deepEqual(index.topTerms(0, 2).map(({ term }) => term), ['mango', 'zebra']);
    const long = new TermIndex();
    long.add(`${'filler '.repeat(100_000)} alpha omega omega`);
    assert.deepEqual(long.topTerms(0, 3), [
      { term: 'filler', score: 1 },
      { term: 'omega', score: 0 },
      { term: 'alpha', score: 0 },
    ]);
  });

  it('is not confused by names that objects have', () => {
    const index = new TermIndex();
    assert.equal(index.add('constructor __proto__ toString'), 3);
    assert.deepEqual(index.topTerms(0, 9).map(({ term }) => term), ['constructor', 'proto', 'tostring']);
  });
});
