import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { machineLines } from '../harness/machine.js';
import type { Published, Suite, SuiteResult } from '../harness/suite.js';
import { markdownTables } from '../harness/table.js';
import type { StoredRun } from './stored-run.js';

/** A part of a page that a benchmark writes: `<!-- bench: throughput -->` … `<!-- /bench -->`. */
const BLOCK = /^<!-- bench: (\S+) -->\n[\s\S]*?^<!-- \/bench -->$/gm;

/** Writes the results into the pages below docs/ that have markers for them, and the files of the suites. Returns the changed paths. */
export async function publishRun(root: string, run: StoredRun, suites: readonly Suite[]): Promise<string[]> {
  const published = run.suites.map((result) => publishedBy(result, run, suites));
  const blocks = new Map(published.flatMap((one) => Object.entries(one.blocks)));
  const files = new Map(published.flatMap((one) => Object.entries(one.files)));
  const changed: string[] = [];
  for (const page of await markdownBelow(root, 'docs')) {
    const before = await readFile(join(root, page), 'utf8');
    const after = fillBlocks(before, blocks);
    if (after !== before) files.set(page, after);
  }
  for (const [path, text] of files) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    changed.push(path);
  }
  return changed;
}

/** Replaces the blocks of a page that are given; the others stay. */
export function fillBlocks(page: string, blocks: ReadonlyMap<string, string>): string {
  return page.replaceAll(BLOCK, (whole, name: string) => {
    const content = blocks.get(name);
    return content === undefined ? whole : `<!-- bench: ${name} -->\n\n${content}\n\n<!-- /bench -->`;
  });
}

function publishedBy(result: SuiteResult, run: StoredRun, suites: readonly Suite[]): Published {
  const own = suites.find(({ name }) => name === result.name)?.publish?.(result);
  const blocks = { [result.name]: markdownTables(result.rows), [`${result.name}/machine`]: conditionsOf(result, run) };
  return { files: own?.files ?? {}, blocks: { ...blocks, ...own?.blocks } };
}

/** Describes when and where a suite ran, and its sizes. */
function conditionsOf({ sizes }: SuiteResult, { at, machine }: StoredRun): string {
  const [words = '', ...warnings] = machineLines(machine);
  const sized = Object.entries(sizes).map(([size, value]) => `${size} ${value.toLocaleString('en-US')}`);
  return [`Measured on ${at.slice(0, 10)}: ${words}; ${sized.join(', ')}.`, ...warnings].join(' ');
}

async function markdownBelow(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true });
  return entries.filter((path) => path.endsWith('.md')).map((path) => join(folder, path));
}
