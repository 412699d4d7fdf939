/** The tools of test/slow/docs/snippets.test.ts and links.test.ts find what is wrong with a page. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isExcerpt } from '../support/docs/excerpt.js';
import { anchorsOf, linksOf } from '../support/docs/markdown.js';
import { PageFolders } from '../support/docs/page-folders.js';
import { runPage } from '../support/docs/run-page.js';
import { type Page, readPage } from '../support/docs/snippets.js';

const fence = (language: string, code: string): string => `\`\`\`${language}\n${code}\n\`\`\`\n`;

const PAGES = {
  right: [
    '<!-- setup\nconst two: number = 2;\n-->',
    fence('ts', '// one.ts\nexport const one = 1;'),
    fence('ts', "import { one } from './one.ts';\n\nconsole.log(one + two, new Date(0)); // 3 1970-01-01T00:00:00.000Z"),
    fence('ts', 'const two = 3; // has a scope of its own\nconsole.log(`${two} ms`); // 250 ms'),
    `<!-- exits: 3 -->\n${fence('sh', 'echo one\nexit 3')}`,
    fence('text', 'o…'),
    '<!-- run\nnode -e "setInterval(() => 0, 1000)" &\ncat page.sh | grep -c "[l]ine"\n-->',
  ].join('\n'),
  'wrong-type': fence('ts', "const two: number = 'two';\nconsole.log(two);"),
  'wrong-output': `${fence('sh', 'echo two\necho one')}${fence('text', 'one\ntwo')}`,
  'wrong-comment': fence('ts', 'console.log(1 + 1); // 3'),
  'wrong-exit': `<!-- exits: 3 -->\n${fence('sh', 'exit 4')}`,
  'failed-command': fence('sh', 'false\necho reached'),
  'failed-behind': fence('sh', 'node -e "process.exit(1)" &\nsleep 1'),
  'needs-npm': fence('sh', 'npm install left-pad'),
};

describe('a page', () => {
  const pages = new Map<string, Page>();
  let folders: PageFolders;

  before(async () => {
    for (const [name, text] of Object.entries(PAGES)) pages.set(name, readPage(`${name}.md`, text));
    folders = await PageFolders.create([...pages.values()]);
  });
  after(() => folders.remove());

  const run = (name: keyof typeof PAGES): Promise<void> => {
    const page = pages.get(name) as Page;
    return runPage(page, folders.of(page), 'redis://127.0.0.1:1');
  };

  test('passes if all of it is right', async () => {
    const page = pages.get('right') as Page;
    assert.deepEqual([page.problems, folders.typeErrorsOf(page)], [[], []]);
    await run('right');
  });

  test('fails for a wrong type, of its own only', () => {
    const errors = folders.typeErrorsOf(pages.get('wrong-type') as Page);
    assert.match(errors.join('\n'), /^wrong-type\/line-1\.ts\(\d+,\d+\): error TS2322/);
    assert.deepEqual(folders.typeErrorsOf(pages.get('wrong-output') as Page), []);
  });

  test('fails for output that is missing or in another order', async () => {
    await assert.rejects(run('wrong-output'), /wrong-output\.md:1: expected this line, or it came too early: two\n--- stdout/);
    await assert.rejects(run('wrong-comment'), /expected this line.*: 3\n/);
  });

  test('fails for a command that fails, in the background too, or has another exit code', async () => {
    await assert.rejects(run('failed-command'), /ended with \{"code":1/);
    await assert.rejects(run('failed-behind'), /ended with \{"code":1/);
    await assert.rejects(run('wrong-exit'), /ended with \{"code":99/);
    await assert.rejects(run('needs-npm'), /needs a test of its own/);
  });

  test('has a problem with each fence that nothing runs', () => {
    const text = [fence('', 'one'), fence('yaml', 'a: 1'), `<!-- skip: x -->\n${fence('ts', 'a')}`, fence('text', 'no step')].join('\n');
    assert.deepEqual(
      readPage('p.md', text).problems.map((problem) => problem.replace(/^p\.md:\d+: /, '')),
      [
        'nothing runs this fence of no language',
        'nothing runs this fence of yaml',
        'unknown marker "skip"',
        'a text fence is the output of the fence above it',
      ],
    );
  });
});

test('an excerpt has lines of the file in order, at any one indentation, with gaps where it says so', () => {
  const file = 'class A {\n  one() {\n    return 1;\n  }\n\n  two() {}\n}\n';
  assert.ok(isExcerpt('one() {\n  return 1;\n}', file));
  assert.ok(isExcerpt('one() {\n// …\ntwo() {}', file.replaceAll('  ', '')));
  for (const other of ['one() {\n    return 1;\n}', 'return 2;', 'two() {}\n// …\none() {']) assert.ok(!isExcerpt(other, file), other);
});

test('anchors are those of GitHub, and links in code are none', () => {
  assert.deepEqual([...anchorsOf('# A `b`, c & d\n## Über_uns\n## Same\n## Same\n')], ['a-b-c--d', 'über_uns', 'same', 'same-1']);
  assert.deepEqual(linksOf('[a](x.md#y) ![b](i.png "t") `[c](no.md)` <img src="j.png">\n[d]: z.md'), ['x.md#y', 'i.png', 'z.md', 'j.png']);
});
