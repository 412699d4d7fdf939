/** How to run a fence and its argument: `['from', 'examples/chat/server.ts']`; `['', '']` for none. */
export type Marker = readonly [way: string, value: string];

/** A fenced block of code. */
export interface Fence {
  readonly language: string;
  readonly code: string;
  /** The line of the page at which the fence opens. */
  readonly line: number;
  /** From the comment right above the fence: `<!-- from: examples/chat/server.ts -->`. */
  readonly marker: Marker;
}

/** Code in a comment, which readers of the page do not see. */
export interface HiddenBlock {
  /** `setup`, or the name of a file. */
  readonly name: string;
  readonly code: string;
}

const FENCE = /^(?<indent> *)```(?<language>[a-z]*)[^\n]*\n(?<code>.*?)^\k<indent>```$/gms;
const MARKER = /<!-- (?<way>[a-z][a-z .]*)(?:: (?<value>\S+))? -->\s*$/;
const HIDDEN = /^<!-- (?:file: (?<file>\S+)|setup)\n(?<code>.*?)^-->$/gms;
/** Commands that readers do not see, and their output. */
const HIDDEN_STEP = /^<!-- (?<kind>run|output)\n(?<code>.*?)^-->$/gms;

/** Returns the fences of a page in order; a comment with commands or output is one too. */
export function fencesOf(markdown: string): Fence[] {
  // Blanked, so that a fence inside a comment is not one of the page.
  const visible = markdown
    .replaceAll(HIDDEN, (block) => block.replaceAll(/[^\n]/g, ' '))
    .replaceAll(HIDDEN_STEP, (_block, kind: string, code: string) => `\`\`\`${kind === 'run' ? 'sh' : 'text'}\n${code}\`\`\``);
  return [...visible.matchAll(FENCE)].map(({ index, groups }) => {
    const { indent = '', language = '', code = '' } = groups ?? {};
    const above = visible.slice(0, index);
    const marker = MARKER.exec(above)?.groups;
    return {
      language,
      code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      line: above.split('\n').length,
      marker: [marker?.['way'] ?? '', marker?.['value'] ?? ''] as const,
    };
  });
}

/** Returns the code in the comments of a page. */
export function hiddenBlocksOf(markdown: string): HiddenBlock[] {
  return [...markdown.matchAll(HIDDEN)].map(({ groups }) => ({ name: groups?.['file'] ?? 'setup', code: groups?.['code'] ?? '' }));
}
