const GAP = '…';

/**
 * Returns whether a file has these lines, in order and at one indentation. A line of `…` or `// …` stands for any number of other
 * lines.
 */
export function isExcerpt(code: string, file: string): boolean {
  const lines = file.split('\n').map((line) => line.trimEnd());
  let parts: string[][] = [[]];
  for (const line of code.trimEnd().split('\n')) {
    if (line.replace(/^\s*(?:\/\/|#)?\s*/, '') === GAP) parts = [...parts, []];
    else parts.at(-1)?.push(line.trimEnd());
  }
  let next = 0;
  for (const part of parts.filter((candidate) => candidate.length > 0)) {
    const found = lines.findIndex((_, index) => index >= next && startsWith(lines.slice(index, index + part.length), part));
    if (found === -1) return false;
    next = found + part.length;
  }
  return true;
}

function startsWith(lines: readonly string[], part: readonly string[]): boolean {
  const indent =
    (lines[0]?.length ?? 0) - (lines[0]?.trimStart().length ?? 0) - ((part[0]?.length ?? 0) - (part[0]?.trimStart().length ?? 0));
  return (
    lines.length === part.length &&
    part.every((line, index) => (line === '' ? '' : ' '.repeat(Math.max(indent, 0)) + line) === lines[index])
  );
}
