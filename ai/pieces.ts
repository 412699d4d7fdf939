import type { UIMessageChunk } from 'ai';

/** Bytes of a chunk, as JSON, that a task's stream takes. */
const MAX_BYTES = 262_144;
/** Characters of a piece: each may take six bytes once the text is escaped again. */
const PIECE_LENGTH = 40_000;
const TYPE = 'data-taskfleet-piece';

/** A part of the JSON of a chunk that is too long for a task's stream, such as a file. Transient: the SDK itself ignores it. */
interface Piece {
  readonly index: number;
  readonly count: number;
  readonly json: string;
}

/** Returns the chunk itself, or the pieces of one that is too long. */
export function piecesOf(chunk: UIMessageChunk): readonly UIMessageChunk[] {
  const json = JSON.stringify(chunk);
  // A UTF-16 unit takes at most three bytes, so most chunks need not be measured.
  if (json.length * 3 <= MAX_BYTES || new TextEncoder().encode(json).length <= MAX_BYTES) return [chunk];
  const count = Math.ceil(json.length / PIECE_LENGTH);
  return Array.from({ length: count }, (_, index) => {
    const data: Piece = { index, count, json: json.slice(index * PIECE_LENGTH, (index + 1) * PIECE_LENGTH) };
    return { type: TYPE, transient: true, data };
  });
}

/** Joins the pieces of long chunks. */
export class PieceJoiner {
  #pieces: string[] = [];

  /** Returns the chunk, the one that this piece completes, or null until then. Unreadable pieces and those without a beginning are dropped. */
  join(chunk: UIMessageChunk): UIMessageChunk | null {
    if (chunk.type !== TYPE || !('data' in chunk)) return chunk;
    const { index, count, json } = (chunk.data ?? {}) as Partial<Piece>;
    if (typeof index !== 'number' || typeof count !== 'number' || typeof json !== 'string') return null;
    if (index === 0) this.#pieces = [];
    if (index !== this.#pieces.length) return null;
    this.#pieces.push(json);
    if (this.#pieces.length < count) return null;
    const whole = this.#pieces.join('');
    this.#pieces = [];
    try {
      return JSON.parse(whole) as UIMessageChunk;
    } catch {
      return null;
    }
  }
}
