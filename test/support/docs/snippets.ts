import { basename } from 'node:path';
import { type Fence, type HiddenBlock, fencesOf, hiddenBlocksOf } from './fences.js';

/** A file of the page: shown in a fence that names it, or hidden in a comment. */
export interface PageFile {
  readonly name: string;
  readonly code: string;
}

/** Commands or statements to run, with the output that the page promises. */
export interface Step {
  readonly kind: 'shell' | 'program';
  /** Of its first fence. */
  readonly line: number;
  /** One for each fence. */
  readonly blocks: string[];
  /** The code of a `text` fence below it; null for none. */
  output: string | null;
  readonly exitCode: number;
}

/** What a test has to do for a page: see CONTRIBUTING.md, "Snippets". */
export interface Page {
  readonly path: string;
  readonly files: PageFile[];
  /** Hidden statements, run before each program. */
  readonly setup: string;
  readonly steps: Step[];
  /** Environment variables shown by fences that have nothing else. */
  readonly settings: { readonly line: number; readonly env: Record<string, string> }[];
  /** Code said to be a part of another file of the repository. */
  readonly excerpts: { readonly line: number; readonly path: string; readonly code: string }[];
  /** Tests said to run a fence. */
  readonly tests: { readonly line: number; readonly path: string }[];
  /** Fences that nothing runs. */
  readonly problems: string[];
}

const SHELL = new Set(['sh', 'bash']);
const SCRIPT = new Set(['ts', 'js']);
const ASSIGNMENT = /^([A-Z][A-Z0-9_]*)=(\S+)(?:\s+#.*)?$/;

/** Returns how to run each fence of a page. */
export function readPage(path: string, markdown: string): Page {
  const hidden = hiddenBlocksOf(markdown);
  const page: Page = {
    path,
    files: hidden.flatMap(({ name, code }) => (name === 'setup' ? [] : [{ name, code }])),
    setup: setupOf(hidden),
    steps: [],
    settings: [],
    excerpts: [],
    tests: [],
    problems: [],
  };
  for (const fence of fencesOf(markdown)) addFence(page, fence);
  return page;
}

function setupOf(hidden: readonly HiddenBlock[]): string {
  return hidden
    .filter(({ name }) => name === 'setup')
    .map(({ code }) => code)
    .join('\n');
}

function addFence(page: Page, fence: Fence): void {
  const { line, code, language, marker } = fence;
  const [way, value] = marker;
  if (way === 'from') page.excerpts.push({ line, path: value, code });
  else if (way === 'run by') page.tests.push({ line, path: value });
  else if (way === 'file') page.files.push({ name: value, code });
  else if (way !== '' && way !== 'exits') page.problems.push(`${page.path}:${line}: unknown marker "${way}"`);
  else if (language === 'text') addOutput(page, fence);
  else if (SHELL.has(language)) addShell(page, fence);
  else if (SCRIPT.has(language)) addScript(page, fence);
  else page.problems.push(`${page.path}:${line}: nothing runs this fence of ${language === '' ? 'no language' : language}`);
}

function addOutput({ path, steps, problems }: Page, { line, code }: Fence): void {
  const last = steps.at(-1);
  if (last === undefined || last.output !== null) problems.push(`${path}:${line}: a text fence is the output of the fence above it`);
  else last.output = code;
}

function addShell({ settings, steps }: Page, { line, code, marker }: Fence): void {
  const lines = code.split('\n').filter((text) => text.trim() !== '' && !text.startsWith('#'));
  const assignments = lines.map((text) => ASSIGNMENT.exec(text));
  if (assignments.every((match) => match !== null)) {
    settings.push({ line, env: Object.fromEntries(assignments.map((match) => [match[1], match[2]])) });
  } else {
    steps.push({ kind: 'shell', line, blocks: [code], output: null, exitCode: marker[0] === 'exits' ? Number(marker[1]) : 0 });
  }
}

function addScript({ files, steps }: Page, { line, code }: Fence): void {
  const name = /^\/\/ (\S+\.[cm]?[jt]s)\b/.exec(code)?.[1];
  const last = steps.at(-1);
  if (name !== undefined) files.push({ name: basename(name), code });
  else if (last?.kind === 'program' && last.output === null) last.blocks.push(`// line ${line}\n${code}`);
  else steps.push({ kind: 'program', line, blocks: [`// line ${line}\n${code}`], output: null, exitCode: 0 });
}
