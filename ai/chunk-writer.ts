import type { UIMessageChunk } from 'ai';
import { piecesOf } from './pieces.js';

/** Shortest interval between two deltas of a part, in ms. */
const FIRST_INTERVAL_MS = 20;
/** It doubles after this number of chunks: a task's stream keeps the newest 10,000, and readers need the first. */
const CHUNKS_PER_INTERVAL = 1_000;
const LONGEST_INTERVAL_MS = 1_000;

type Delta = Extract<UIMessageChunk, { type: 'text-delta' | 'reasoning-delta' | 'tool-input-delta' }>;

/**
 * Writes chunks to a task's stream. Deltas of the same part that follow each other closely become one; the longer the answer, the longer
 * the interval, so that an answer of any length fits into the stream. Long chunks are split.
 */
export class ChunkWriter {
  /** Merged deltas that wait for the end of the interval. */
  #pending: Delta | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #written = 0;
  #deltaAt = -Infinity;
  #failure: { readonly error: unknown } | null = null;

  constructor(private readonly emit: (chunk: UIMessageChunk) => void) {}

  /** @throws what `emit` threw, now or since the last call */
  write(chunk: UIMessageChunk): void {
    this.#check();
    if (!isDelta(chunk)) {
      this.flush();
      this.#emit(chunk);
      return;
    }
    const merged = this.#pending && mergedDelta(this.#pending, chunk);
    if (!merged) this.flush();
    this.#pending = merged ?? chunk;
    const waitMs = this.#deltaAt + this.#intervalMs - performance.now();
    if (waitMs <= 0) this.flush();
    else this.#timer ??= setTimeout(() => this.#flushLate(), waitMs);
  }

  /** Writes pending deltas. */
  flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const chunk = this.#pending;
    this.#pending = null;
    if (chunk) {
      this.#deltaAt = performance.now();
      this.#emit(chunk);
    }
    this.#check();
  }

  /** Drops pending deltas. */
  close(): void {
    this.#pending = null;
    if (this.#timer) clearTimeout(this.#timer);
  }

  get #intervalMs(): number {
    return Math.min(LONGEST_INTERVAL_MS, FIRST_INTERVAL_MS * 2 ** Math.floor(this.#written / CHUNKS_PER_INTERVAL));
  }

  #emit(chunk: UIMessageChunk): void {
    for (const piece of piecesOf(chunk)) {
      this.emit(piece);
      this.#written += 1;
    }
  }

  /** Nobody would catch an error of the timer: the next call throws it. */
  #flushLate(): void {
    try {
      this.flush();
    } catch (error) {
      this.#failure = { error };
    }
  }

  #check(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

function isDelta(chunk: UIMessageChunk): chunk is Delta {
  return chunk.type === 'text-delta' || chunk.type === 'reasoning-delta' || chunk.type === 'tool-input-delta';
}

/** Returns both deltas as one; null if they are of different parts, or have metadata of their own. */
function mergedDelta(first: Delta, second: Delta): Delta | null {
  if (first.type === 'tool-input-delta')
    return second.type === 'tool-input-delta' && second.toolCallId === first.toolCallId
      ? { ...first, inputTextDelta: first.inputTextDelta + second.inputTextDelta }
      : null;
  if (second.type !== first.type || second.id !== first.id || first.providerMetadata || second.providerMetadata) return null;
  return { ...first, delta: first.delta + second.delta };
}
