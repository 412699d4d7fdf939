import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { built } from '../process/built.js';
import { root } from './markdown.js';
import { moduleOf, programOf } from './page-script.js';
import type { Page } from './snippets.js';

const OPTIONS = {
  ...{ target: 'es2023', module: 'nodenext', strict: true, skipLibCheck: true, verbatimModuleSyntax: true, types: ['node'] },
  ...{ rewriteRelativeImportExtensions: true, jsx: 'react-jsx', lib: ['es2023', 'dom', 'dom.iterable'] },
};

/** A project for each page with the page's files and programs, in the copy of the package that the tests run. */
export class PageFolders {
  private constructor(
    private readonly folder: string,
    /** What the compiler says, by page. */
    private readonly errors: ReadonlyMap<string, string[]>,
  ) {}

  /** Writes the files of all pages and compiles them. */
  static async create(pages: readonly Page[]): Promise<PageFolders> {
    await mkdir(built('pages'), { recursive: true });
    const folder = await mkdtemp(built('pages/'));
    for (const page of pages) await writePage(page, join(folder, nameOf(page.path)));
    // The copy of the package has no declarations.
    const doors = { taskfleet: [join(root, 'dist/index.d.ts')], 'taskfleet/*': [join(root, 'dist/*/index.d.ts')] };
    const include = ['**/*.ts', '**/*.tsx'];
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...OPTIONS, paths: doors }, include }));
    const output = await compile(folder);
    const errors = new Map(pages.map(({ path }) => [path, output.filter((line) => line.startsWith(`${nameOf(path)}/`))]));
    return new PageFolders(folder, errors);
  }

  /** Returns the folder of a page. */
  of({ path }: Page): string {
    return join(this.folder, nameOf(path));
  }

  /** Returns the errors of the compiler in the code of a page. */
  typeErrorsOf({ path }: Page): string[] {
    return this.errors.get(path) ?? [];
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

function nameOf(path: string): string {
  return path.replace(/\.md$/, '').replaceAll('/', '-');
}

async function writePage(page: Page, folder: string): Promise<void> {
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await symlink(built('.'), join(folder, 'node_modules/taskfleet'), 'dir');
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }\n');
  const programs = page.steps.filter(({ kind }) => kind === 'program');
  for (const step of programs) await writeFile(join(folder, `${moduleOf(step)}.ts`), programOf(page, step));
  for (const { name, code } of page.files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), code);
  }
}

/** Returns the lines that the compiler prints, empty if all is right. */
function compile(folder: string): Promise<string[]> {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  return new Promise((resolve) => {
    execFile(process.execPath, [compiler, '-p', folder, '--pretty', 'false'], { cwd: folder }, (_error, stdout, stderr) => {
      resolve(`${stdout}${stderr}`.split('\n').filter((line) => line.trim() !== ''));
    });
  });
}
