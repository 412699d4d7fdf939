import type { ChatCompletionChunk, ChatCompletionOutput } from '../definitions.js';
import type { CompletionChunk, Saying, ToolCallPiece } from './completion-chunk.js';

type ToolCall = NonNullable<ChatCompletionOutput['tool_calls']>[number];

/** Longest completion, in characters: text, reasoning and call arguments together. */
export const MAX_COMPLETION_LENGTH = 16 * 1_048_576;

/** The completion received so far. */
export class Completion {
  #model: string;
  #content = '';
  #reasoning = '';
  #finishReason: string | null = null;
  #usage: ChatCompletionOutput['usage'] = null;
  #pieces = 0;
  #length = 0;
  /** Whether deltas were received: then a message only repeats them. */
  #streamed = false;
  readonly #calls: ToolCall[] = [];
  readonly #callAt = new Map<number, ToolCall>();

  constructor(model: string) {
    this.#model = model;
  }

  /** Whether the completion is longer than {@link MAX_COMPLETION_LENGTH}. */
  get tooLong(): boolean {
    return this.#length > MAX_COMPLETION_LENGTH;
  }

  /** Adds a chunk. Returns the new part, as the task emits it. */
  add(chunk: CompletionChunk): ChatCompletionChunk[] {
    this.#model = chunk.model ?? this.#model;
    this.#finishReason = chunk.finishReason ?? this.#finishReason;
    this.#usage = chunk.usage ?? this.#usage;
    const { text, reasoning, toolCalls } = this.#newIn(chunk);
    this.#length += text.length + reasoning.length;
    this.#content += text;
    this.#reasoning += reasoning;
    if (text !== '') this.#pieces += 1;
    return [
      ...(reasoning === '' ? [] : [{ type: 'reasoning' as const, text: reasoning }]),
      ...(text === '' ? [] : [text]),
      ...toolCalls.map((piece) => this.#addToCall(piece)),
    ];
  }

  output(): ChatCompletionOutput {
    return {
      content: this.#content,
      reasoning_content: this.#reasoning === '' ? null : this.#reasoning,
      tool_calls: this.#calls.length === 0 ? null : this.#calls,
      model: this.#model,
      finish_reason: this.#finishReason,
      chunks: this.#pieces,
      usage: this.#usage,
    };
  }

  #newIn({ delta, message }: CompletionChunk): Saying {
    if (delta.text !== '' || delta.reasoning !== '' || delta.toolCalls.length > 0) this.#streamed = true;
    return {
      text: delta.text || this.#beyond(this.#content, message.text),
      reasoning: delta.reasoning || this.#beyond(this.#reasoning, message.reasoning),
      toolCalls: delta.toolCalls.length > 0 || (this.#streamed && this.#calls.length > 0) ? delta.toolCalls : message.toolCalls,
    };
  }

  /** Returns the part of a message that is new. */
  #beyond(known: string, message: string): string {
    return this.#streamed && message.startsWith(known) ? message.slice(known.length) : message;
  }

  #addToCall(piece: ToolCallPiece): ChatCompletionChunk {
    const call = this.#callOf(piece);
    call.id ??= piece.id;
    if (piece.name !== null && call.function.name === '') call.function.name = piece.name;
    call.function.arguments += piece.arguments;
    this.#length += piece.arguments.length + (piece.name?.length ?? 0);
    return { type: 'tool_call', index: this.#calls.indexOf(call), id: piece.id, name: piece.name, arguments: piece.arguments };
  }

  /** Some servers do not number calls, or number all of them 0: a new id then starts a new call. */
  #callOf({ index, id }: ToolCallPiece): ToolCall {
    const known = index === null ? this.#calls.at(-1) : this.#callAt.get(index);
    if (known !== undefined && (id === null || known.id === null || known.id === id)) return known;
    const call: ToolCall = { id, type: 'function', function: { name: '', arguments: '' } };
    this.#calls.push(call);
    if (index !== null) this.#callAt.set(index, call);
    return call;
  }
}
