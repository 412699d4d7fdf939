import assert from 'node:assert/strict';
import { renameSync, rmSync, symlinkSync } from 'node:fs';
import { chmod, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { StopRequested } from '../../../../shared/stop/cause.js';
import { type DocumentIndexInput, documentIndex } from '../../../../worker/builtin/definitions.js';
import { documentIndexHandler } from '../../../../worker/builtin/documents/handler.js';
import { TermIndex, termsOf } from '../../../../worker/builtin/documents/term-index.js';
import { folderOf } from '../../../support/folder.js';
import { createFakeContext, type FakeContextOptions, runHandler } from '../../../support/task/task-context.js';

function run(
  documentRoot: string | null,
  input: Partial<DocumentIndexInput> = {},
  options: FakeContextOptions = {},
  documentExtensions = ['.md', '.txt'],
) {
  const fake = createFakeContext(documentIndex, input, options);
  return { fake, output: runHandler(documentIndex, documentIndexHandler({ documentRoot, documentExtensions }), fake) };
}

/** Asserts a rejection without a retry, with exactly this message. */
async function assertRefused(output: Promise<unknown>, message: string): Promise<void> {
  await assert.rejects(output, (error: Error) => {
    assert.ok(error instanceof UnrecoverableError, error.name);
    assert.equal(error.message, message);
    return true;
  });
}

const pathsOf = (output: { results: { path: string }[] }) => output.results.map(({ path }) => path);

describe('document.index', () => {
  it('counts documents, tokens and terms, and scores terms as computed by hand', async (t) => {
    const root = await folderOf(t, { 'a.md': 'Apple, apple and BANANA!', 'b.txt': 'the apple: cherry', 'c.html': 'ignored' });
    const { fake, output } = run(root);
    // N = 2. apple is in both documents: ln(3/3) + 1 = 1. banana and cherry are in one: ln(3/2) + 1 = 1.405465.
    assert.deepEqual(await output, {
      root: '.',
      documents: 2,
      terms: 3,
      tokens: 5,
      skipped: 0,
      truncated: false,
      results: [
        {
          path: 'a.md',
          tokens: 3,
          top_terms: [
            { term: 'apple', score: 0.6667 },
            { term: 'banana', score: 0.4685 },
          ],
        },
        {
          path: 'b.txt',
          tokens: 2,
          top_terms: [
            { term: 'cherry', score: 0.7027 },
            { term: 'apple', score: 0.5 },
          ],
        },
      ],
    });
    assert.deepEqual(fake.progress, [
      { done: 0, total: 2 },
      { done: 1, total: 2 },
      { done: 2, total: 2 },
    ]);
  });

  it('works without documents', async (t) => {
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

  it('reads the extensions that the server allows, in any letter case, or a subset', async (t) => {
    const root = await folderOf(t, { 'a.RST': 'x', 'b.d.ts': 'x', 'c.ts': 'x', 'd.md': 'x', 'prod.env': 'SECRET=1' });
    const allowed = ['.rst', '.ts'];
    assert.deepEqual(pathsOf(await run(root, {}, {}, allowed).output), ['a.RST', 'b.d.ts', 'c.ts']);
    assert.deepEqual(pathsOf(await run(root, { extensions: ['.rst', '.D.TS'] }, {}, allowed).output), ['a.RST', 'b.d.ts']);
    for (const extension of ['.env', '.md', '.s']) {
      await assertRefused(
        run(root, { extensions: ['.ts', extension] }, {}, allowed).output,
        `extension "${extension}" is not allowed: DOCUMENT_EXTENSIONS of the workers has .rst, .ts`,
      );
    }
  });

  it('reads nothing without a separate DOCUMENT_ROOT', async (t) => {
    await assertRefused(
      run(null).output,
      'DOCUMENT_ROOT is not set, so document.index reads nothing: set it for the workers, to the folder with the documents',
    );
    const root = await folderOf(t, { '.taskfleet/redis/dump.txt': 'secret' });
    for (const folder of ['.taskfleet', '.taskfleet/redis']) {
      const data = join(root, folder);
      await assertRefused(
        run(data).output,
        `DOCUMENT_ROOT ${JSON.stringify(data.slice(0, 60))} is in the fleet's own data folder: set another`,
      );
    }
  });

  it('ignores names that begin with a dot', async (t) => {
    const root = await folderOf(t, {
      '.env.md': 'secret',
      '.md': 'secret',
      '.git/a.md': 'secret',
      '.taskfleet/redis/a.md': 'secret',
      'a/.b/c.md': 'secret',
      'a/d.md': 'x',
    });
    const output = await run(root).output;
    assert.deepEqual([pathsOf(output), output.skipped], [['a/d.md'], 0]);
    await symlink(join(root, '.git'), join(root, 'git'));
    await symlink(join(root, 'a'), join(root, '.shortcut'));
    for (const path of ['.git', '.taskfleet/redis', 'a/.b', 'git', '.shortcut', './.git/../.git']) {
      await assertRefused(run(root, { path }).output, `path ${JSON.stringify(path)} is not a folder below DOCUMENT_ROOT`);
    }
    assert.equal((await run(join(root, '.git')).output).documents, 1, "the root itself is the operator's choice");
  });

  it('leaks nothing if a folder or file is replaced by a link during the read', async (t) => {
    const outside = await folderOf(t, { '2.md': 'secret', '3.md': 'secret', '4.md': 'secret' });
    const root = await folderOf(t, { 'a/1.md': 'one', 'a/2.md': 'two', 'b/3.md': 'three', 'c/4.md': 'four' });
    const swap = (): void => {
      if (fake.progress.length !== 2) return;
      for (const folder of ['a', 'b']) {
        renameSync(join(root, folder), join(root, `moved-${folder}`));
        symlinkSync(outside, join(root, folder));
      }
      rmSync(join(root, 'c/4.md'));
      symlinkSync(join(outside, '4.md'), join(root, 'c/4.md'));
    };
    const { fake, output } = run(root, {}, { onProgress: swap });
    const { results, skipped, documents } = await output;
    assert.ok(!JSON.stringify(results).includes('secret'), JSON.stringify(results));
    assert.equal(documents + skipped, 4);
  });

  it('stops at max_files and reports it', async (t) => {
    const root = await folderOf(t, { '1.md': 'x', '2.md': 'x', '3/3.md': 'x' });
    const cut = await run(root, { max_files: 2 }).output;
    assert.deepEqual([cut.documents, cut.truncated], [2, true]);
    const all = await run(root, { max_files: 3 }).output;
    assert.deepEqual([all.documents, all.truncated], [3, false]);
  });

  it('skips and counts binary files, files that are too long, and links', async (t) => {
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

  it('skips and counts files without read permission', async (t) => {
    if (process.getuid?.() === 0) return t.skip('root may read everything');
    const root = await folderOf(t, { 'closed.md': 'x', 'closed/in.md': 'x', 'open.md': 'x' });
    await chmod(join(root, 'closed.md'), 0);
    await chmod(join(root, 'closed'), 0);
    const output = await run(root).output;
    await chmod(join(root, 'closed'), 0o700);
    assert.deepEqual([pathsOf(output), output.skipped], [['open.md'], 2]);
  });

  it('refuses every path out of DOCUMENT_ROOT for good, by name', async (t) => {
    const outside = await folderOf(t, { 'secret.md': 'secret' });
    const root = await folderOf(t, { 'inside/a.md': 'x', 'file.md': 'x' });
    await symlink(outside, join(root, 'out'));
    await symlink(join(root, 'inside'), join(root, 'in'));
    const absolute = join(root, 'inside');
    for (const path of ['..', '../', 'inside/../..', `../${outside.split('/').at(-1)}`, '/', absolute, 'out', 'out/.', 'none', 'file.md']) {
      await assertRefused(run(root, { path }).output, `path ${JSON.stringify(path.slice(0, 60))} is not a folder below DOCUMENT_ROOT`);
    }
    assert.equal((await run(root, { path: 'in' }).output).root, 'inside');
    assert.equal(documentIndex.input.safeParse({ path: 'a\0b' }).success, false);
  });

  it('throws the reason of an abort between two files', async (t) => {
    const root = await folderOf(t, { '1.md': 'x', '2.md': 'x', '3.md': 'x' });
    const reason = new StopRequested('enough');
    const { fake, output } = run(root, {}, { onProgress: () => fake.progress.length === 2 && fake.abort(reason) });
    await assert.rejects(output, (error) => error === reason);
    assert.deepEqual(fake.progress.at(-1), { done: 1, total: 3 });
  });

  it('is always isolated', () => {
    assert.equal(documentIndexHandler({ documentRoot: '.', documentExtensions: [] }).alwaysIsolated, true);
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
    ['drops words that are too short or too long', `x ${'y'.repeat(40)} ${'z'.repeat(41)}`, ['y'.repeat(40)]],
    ['finds nothing in nothing', ' … ', []],
  ];
  for (const [what, text, terms] of cases) {
    it(what, () => assert.deepEqual([...termsOf(text)], terms));
  }
});

describe('TermIndex', () => {
  it('sorts equal scores by term, and ranks before rounding', () => {
    const index = new TermIndex();
    index.add('zebra mango zebra mango kiwi');
    assert.deepEqual(
      index.topTerms(0, 2).map(({ term }) => term),
      ['mango', 'zebra'],
    );
    const long = new TermIndex();
    long.add(`${'filler '.repeat(100_000)} alpha omega omega`);
    assert.deepEqual(long.topTerms(0, 3), [
      { term: 'filler', score: 1 },
      { term: 'omega', score: 0 },
      { term: 'alpha', score: 0 },
    ]);
  });

  it("counts terms that are names of Object's properties", () => {
    const index = new TermIndex();
    assert.equal(index.add('constructor __proto__ toString'), 3);
    assert.deepEqual(
      index.topTerms(0, 9).map(({ term }) => term),
      ['constructor', 'proto', 'tostring'],
    );
  });
});
