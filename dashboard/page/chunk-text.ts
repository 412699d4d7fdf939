/** A chunk whose text continues the one before, if that has the same label. */
interface Said {
  readonly label: string;
  readonly text: string;
}

/**
 * Turns a task's chunks into text, on the page and for `taskfleet task watch`. Strings continue each other; so do pieces of
 * reasoning, and pieces of one call of a tool, each in lines of their own that begin with what they are. Any other chunk is a
 * line of JSON.
 */
export class ChunkText {
  /** Of the line that is open; null if none is. */
  #label: string | null = null;

  get inLine(): boolean {
    return this.#label !== null;
  }

  /** What is to be written for a chunk. */
  add(chunk: unknown): string {
    const said = saidIn(chunk);
    if (said === null) return this.line(JSON.stringify(chunk));
    const { label, text } = said;
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

function saidIn(chunk: unknown): Said | null {
  if (typeof chunk === 'string') return { label: '', text: chunk };
  if (typeof chunk !== 'object' || chunk === null || !('type' in chunk)) return null;
  if (chunk.type === 'reasoning' && 'text' in chunk && typeof chunk.text === 'string') return { label: 'reasoning', text: chunk.text };
  if (chunk.type !== 'tool_call' || !('index' in chunk) || typeof chunk.index !== 'number') return null;
  if (!('arguments' in chunk) || typeof chunk.arguments !== 'string') return null;
  const name = 'name' in chunk && typeof chunk.name === 'string' ? `${chunk.name} ` : '';
  return { label: `tool call ${chunk.index + 1}`, text: name + chunk.arguments };
}
