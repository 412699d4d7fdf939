/** A chunk as text; it continues the previous chunk if both have the same label. */
interface LabelledText {
  readonly label: string;
  readonly text: string;
}

/**
 * Converts a task's chunks to text, for the page and `taskfleet task watch`. Consecutive strings are concatenated, and so are pieces of
 * reasoning and of one tool call, each starting on a labelled line. Any other chunk becomes a line of JSON.
 */
export class ChunkText {
  /** The label of the open line; null without an open line. */
  #label: string | null = null;

  get inLine(): boolean {
    return this.#label !== null;
  }

  /** Returns the text to append for a chunk. */
  add(chunk: unknown): string {
    const labelled = labelledTextOf(chunk);
    if (labelled === null) return this.line(JSON.stringify(chunk));
    const { label, text } = labelled;
    if (label === '' && text === '') return '';
    const start = label === this.#label ? '' : `${this.endLine()}${label === '' ? '' : `${label}: `}`;
    this.#label = text.endsWith('\n') ? null : label;
    return start + text;
  }

  line(line: string): string {
    return `${this.endLine()}${line}\n`;
  }

  endLine(): string {
    const end = this.#label === null ? '' : '\n';
    this.#label = null;
    return end;
  }
}

function labelledTextOf(chunk: unknown): LabelledText | null {
  if (typeof chunk === 'string') return { label: '', text: chunk };
  if (typeof chunk !== 'object' || chunk === null || !('type' in chunk)) return null;
  if (chunk.type === 'reasoning' && 'text' in chunk && typeof chunk.text === 'string') return { label: 'reasoning', text: chunk.text };
  if (chunk.type !== 'tool_call' || !('index' in chunk) || typeof chunk.index !== 'number') return null;
  if (!('arguments' in chunk) || typeof chunk.arguments !== 'string') return null;
  const name = 'name' in chunk && typeof chunk.name === 'string' ? `${chunk.name} ` : '';
  return { label: `tool call ${chunk.index + 1}`, text: name + chunk.arguments };
}
