import type { UIMessageChunk } from 'ai';
import { AnswerFailed, AnswerRestarted } from './answer-errors.js';
import { PieceJoiner } from './pieces.js';

/** An event of a task, as a producer and a client yield it. */
export interface AnswerEvent {
  readonly type: string;
  readonly id: string | null;
  readonly chunk?: unknown;
  readonly state?: string;
  readonly error?: { readonly message: string; readonly code?: string | null } | null | undefined;
  readonly receipt?: { readonly reason: string | null } | null | undefined;
}

/** Chunks that add no part to a message. */
const PARTLESS =
  /^(?:start|finish|start-step|finish-step|reset-step|abort|error|message-metadata|.*-delta|.*-end|tool-output-.*|tool-approval-.*)$/;

/**
 * Turns the events of a task into the chunks of one message. Each attempt begins with `start`; a second one takes back what the message
 * has of the first, if that is possible.
 */
export class AnswerReader {
  readonly #joiner = new PieceJoiner();
  /** The parts that are being streamed, by their key, and how each one ends. */
  readonly #open = new Map<string, UIMessageChunk>();
  #lastId: string | null = null;
  #started = false;
  #aborted = false;
  #ended = false;
  /** Parts of the current step, which the SDK can take back. */
  #parts = 0;
  /** Whether earlier steps have parts, which it cannot. */
  #isKept = false;
  /** The message ends with the beginning of a step, which a new attempt uses. */
  #stepBegun = false;
  #skipsStep = false;

  /** Whether the task has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Returns the chunks that follow from an event. @throws AnswerRestarted; AnswerFailed, the last event */
  read(event: AnswerEvent): UIMessageChunk[] {
    const before = this.#lastId;
    if (event.type === 'state') return this.#end(event);
    if (event.type !== 'chunk') return [];
    this.#lastId = event.id ?? this.#lastId;
    if (!isChunk(event.chunk)) return [];
    const chunk = this.#joiner.join(event.chunk);
    if (chunk === null) return [];
    return chunk.type === 'start' && this.#started ? this.#restart(chunk, before) : this.#add(chunk);
  }

  #restart(start: UIMessageChunk, before: string | null): UIMessageChunk[] {
    if (this.#isKept) throw new AnswerRestarted(before);
    const reset: UIMessageChunk[] = this.#parts > 0 ? [{ type: 'reset-step' }] : [];
    this.#open.clear();
    this.#parts = 0;
    this.#aborted = false;
    this.#skipsStep = this.#stepBegun;
    return [...reset, start];
  }

  #add(chunk: UIMessageChunk): UIMessageChunk[] {
    switch (chunk.type) {
      case 'start':
        this.#started = true;
        return [chunk];
      case 'start-step':
        return this.#startStep(chunk);
      case 'reset-step':
        this.#parts = 0;
        this.#open.clear();
        return [chunk];
      case 'text-start':
      case 'reasoning-start':
        this.#count(chunk);
        this.#open.set(keyOf(chunk), { type: chunk.type === 'text-start' ? 'text-end' : 'reasoning-end', id: chunk.id });
        return [chunk];
      case 'text-delta':
      case 'reasoning-delta': {
        if (this.#open.has(keyOf(chunk))) return [chunk];
        // The stream no longer has the beginning of the answer: its rest is shown.
        const start = { type: chunk.type === 'text-delta' ? 'text-start' : 'reasoning-start', id: chunk.id } as const;
        this.#started = true;
        return [...this.#add(start), chunk];
      }
      case 'text-end':
      case 'reasoning-end':
        return this.#open.delete(keyOf(chunk)) ? [chunk] : [];
      case 'abort':
        this.#aborted = true;
        return [...this.#closing(), chunk];
      default:
        this.#count(chunk);
        return [chunk];
    }
  }

  #startStep(chunk: UIMessageChunk): UIMessageChunk[] {
    if (this.#skipsStep) {
      this.#skipsStep = false;
      return [];
    }
    this.#isKept ||= this.#parts > 0;
    this.#parts = 0;
    this.#stepBegun = true;
    return [chunk];
  }

  #count(chunk: UIMessageChunk): void {
    if (PARTLESS.test(chunk.type) || ('transient' in chunk && chunk.transient)) return;
    this.#parts += 1;
    this.#skipsStep = false;
  }

  #end({ state, error, receipt }: AnswerEvent): UIMessageChunk[] {
    switch (state) {
      case 'completed':
        this.#ended = true;
        return this.#closing();
      case 'cancelled': {
        this.#ended = true;
        const abort: UIMessageChunk = { type: 'abort', ...(receipt?.reason != null && { reason: receipt.reason }) };
        return [...this.#closing(), ...(this.#aborted ? [] : [abort])];
      }
      case 'failed':
      case 'skipped':
        this.#ended = true;
        throw new AnswerFailed(error?.message ?? `The task has ${state === 'failed' ? 'failed' : 'been skipped'}.`, error?.code ?? null);
      default:
        return [];
    }
  }

  /** Ends the parts that an abort or a lost attempt left open. */
  #closing(): UIMessageChunk[] {
    const ends = [...this.#open.values()];
    this.#open.clear();
    return ends;
  }
}

function keyOf({ type, id }: { readonly type: string; readonly id: string }): string {
  return `${type.split('-')[0]} ${id}`;
}

/** Whether a chunk can be one of a UI message stream; a handler may emit others. */
function isChunk(value: unknown): value is UIMessageChunk {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}
