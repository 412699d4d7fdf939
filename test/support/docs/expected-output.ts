import type { Page, Step } from './snippets.js';

const LOG_WITH_OUTPUT = /^\s*console\.log\(.*\);? \/\/ (?<output>.+)$/gm;
/** Values that differ from run to run, as regular expressions. */
const VARIABLE: readonly (readonly [RegExp, string])[] = [
  [/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/, '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/, '\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z'],
  [/\d+(?:\.\d+)? m?s\b/, '\\d+(?:\\.\\d+)? m?s'],
  [/…/, '.*'],
];
const ANY_VARIABLE = new RegExp(VARIABLE.map(([pattern]) => `(${pattern.source})`).join('|'));

/** Returns what a step should have printed and did not; null if it printed everything that the page promises. */
export function missingOutput(page: Page, step: Step, printed: string): string | null {
  const lines = printed.split('\n').map((line) => line.trimEnd());
  const comments = promisedComments(page, step);
  const missingComment = firstMissing(comments, lines);
  if (missingComment !== null) return missingComment;
  if (step.output === null) return null;
  const expected = step.output.trimEnd().split('\n');
  return firstMissing(
    expected.filter((line) => line.trim() !== '…' && line.trim() !== ''),
    lines,
  );
}

/** Returns the comments after `console.log` of the code that a step runs: of its own, or of files that it gives to Node. */
function promisedComments({ files }: Page, { kind, blocks }: Step): string[] {
  const text = blocks.join('\n');
  const names = new Set(kind === 'shell' ? [...text.matchAll(/\b(?:node|tsx) (\S+)/g)].map((match) => match[1]) : []);
  const sources = kind === 'program' ? [text] : files.filter(({ name }) => names.has(name)).map(({ code }) => code);
  return sources.flatMap((source) => [...source.matchAll(LOG_WITH_OUTPUT)].map(({ groups }) => groups?.['output'] ?? ''));
}

/** Returns the first of the expected lines that does not come after those before it. */
function firstMissing(expected: readonly string[], lines: readonly string[]): string | null {
  let next = 0;
  for (const line of expected) {
    const pattern = patternOf(line.trim());
    const found = lines.findIndex((candidate, index) => index >= next && pattern.test(candidate.trim()));
    if (found === -1) return line;
    next = found + 1;
  }
  return null;
}

/** Returns a pattern for a line of the page: columns may be aligned otherwise, and ids, times and durations may differ. */
function patternOf(line: string): RegExp {
  let [pattern, rest] = ['', line];
  for (;;) {
    const match = ANY_VARIABLE.exec(rest);
    if (match === null) break;
    pattern += literal(rest.slice(0, match.index)) + (VARIABLE[match.slice(1).findIndex((group) => group !== undefined)]?.[1] ?? '');
    rest = rest.slice(match.index + match[0].length);
  }
  return new RegExp(`^${pattern}${literal(rest)}$`);
}

function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll(/ +/g, ' +');
}
