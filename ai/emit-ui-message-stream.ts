import type { InferUIMessageChunk, TextStreamPart, ToolSet, UIMessage, UIMessageChunk, UIMessageStreamOptions } from 'ai';
import type { AbortCause } from '../shared/stop/cause.js';
import type { TaskContext } from '../shared/task/handler.js';
import { ChunkWriter } from './chunk-writer.js';

/** The part of a handler's context that an answer needs. */
export type AnswerContext = Pick<TaskContext<unknown, UIMessageChunk>, 'id' | 'input' | 'signal' | 'emit'>;

/** The result of `streamText`, or of an agent's `stream`. */
export interface GeneratedText<TOOLS extends ToolSet> {
  readonly stream: ReadableStream<TextStreamPart<TOOLS>>;
}

export type AnswerSource<TOOLS extends ToolSet, UI_MESSAGE extends UIMessage> =
  | GeneratedText<TOOLS>
  | ReadableStream<InferUIMessageChunk<UI_MESSAGE>>;

/**
 * Options of the SDK's `toUIMessageStream`. `originalMessages` defaults to the input's `messages`, if these are messages of a chat, and
 * `generateMessageId` to the task's id, so that every attempt and every reader has the same message.
 */
export type EmitOptions<TOOLS extends ToolSet, UI_MESSAGE extends UIMessage> = UIMessageStreamOptions<UI_MESSAGE> & { tools?: TOOLS };

/** How long an aborted stream may take to end, in ms, so that its own callbacks see the abort. */
const ABORT_MS = 1_000;
const MASKED = 'An error occurred.';

/** Contexts whose `start` was emitted: a further stream of the same attempt continues the message. */
const started = new WeakSet<AnswerContext>();

/**
 * Emits an answer as chunks of the SDK's UI message stream, and returns the message. Pass `context.signal` to the model as `abortSignal`.
 *
 * A stop emits `abort`, for every reader. All other errors and aborts emit nothing: the task fails, or the next attempt begins with
 * `start`, and replaces what this one emitted.
 *
 * @param source the result of `streamText`, or a stream of chunks, as of `createUIMessageStream`
 * @throws the model's error; the abort's cause
 */
export async function emitUIMessageStream<TOOLS extends ToolSet = ToolSet, UI_MESSAGE extends UIMessage = UIMessage>(
  context: AnswerContext,
  source: AnswerSource<TOOLS, UI_MESSAGE> | PromiseLike<AnswerSource<TOOLS, UI_MESSAGE>>,
  options: EmitOptions<TOOLS, UI_MESSAGE> = {},
): Promise<UI_MESSAGE> {
  const { signal } = context;
  const answer = await openAnswer(context, await source, options);
  const reader = answer.stream.getReader();
  const writer = new ChunkWriter((chunk) => context.emit(chunk));
  const starts = new Starts(context);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUpLater = (): void => void (timer = setTimeout(() => void reader.cancel(signal.reason).catch(() => undefined), ABORT_MS));
  if (signal.aborted) giveUpLater();
  signal.addEventListener('abort', giveUpLater);
  let finished = false;
  try {
    for (;;) {
      const { done, value: chunk } = await reader.read();
      if (done) break;
      // After a stop the rest is read too, for the SDK's callbacks and the last words; after other aborts nothing may reach readers.
      if (signal.aborted && !isStop(signal)) continue;
      if (chunk.type === 'error' && !signal.aborted) throw answer.errorOf(chunk.errorText);
      if (chunk.type === 'error' || (chunk.type === 'abort' && signal.aborted)) continue;
      if (chunk.type === 'finish') finished = true;
      for (const one of starts.before(chunk)) writer.write(one);
    }
    if (signal.aborted && isStop(signal)) for (const one of starts.before(abortOf(signal.reason as AbortCause))) writer.write(one);
    writer.flush();
    // A finished answer is whole even if the worker shuts down meanwhile.
    if (!finished) signal.throwIfAborted();
    return answer.message(starts.messageId);
  } finally {
    writer.close();
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUpLater);
    void reader.cancel().catch(() => undefined);
  }
}

interface Answer<UI_MESSAGE extends UIMessage> {
  readonly stream: ReadableStream<InferUIMessageChunk<UI_MESSAGE>>;
  /** Returns the error behind an `error` chunk, which has its text only. */
  errorOf(text: string): unknown;
  /** Returns the message, once the stream has ended. */
  message(id: string): UI_MESSAGE;
}

async function openAnswer<TOOLS extends ToolSet, UI_MESSAGE extends UIMessage>(
  { id, input }: AnswerContext,
  source: AnswerSource<TOOLS, UI_MESSAGE>,
  options: EmitOptions<TOOLS, UI_MESSAGE>,
): Promise<Answer<UI_MESSAGE>> {
  // Imported here, so that browsers and producers load none of it.
  const { createUIMessageStream, toUIMessageStream } = await import('ai');
  const originalMessages = options.originalMessages ?? (messagesIn(input) as UI_MESSAGE[] | undefined);
  const generateId = options.generateMessageId ?? (() => id);
  let failure: { readonly error: unknown } | null = null;
  let message: UI_MESSAGE | null = null;
  const note = (error: unknown): string => {
    failure ??= { error };
    return MASKED;
  };
  const own = { ...options, generateMessageId: generateId, ...(originalMessages && { originalMessages }) };
  const chunks = 'stream' in source ? toUIMessageStream({ ...own, stream: noteErrors(source.stream, note) }) : source;
  const stream = createUIMessageStream<UI_MESSAGE>({
    ...(originalMessages && { originalMessages }),
    generateId,
    onError: note,
    onEnd: ({ responseMessage }) => {
      message = responseMessage;
    },
    execute: ({ writer }) => writer.merge(chunks),
  });
  return {
    stream,
    errorOf: (text) => (failure ? failure.error : new Error(text)),
    message: (messageId) => {
      if (message === null) throw new Error('The stream of the answer ended without a message.');
      return { ...message, id: messageId };
    },
  };
}

/** Passes the parts on, and notes the model's errors: as chunks they have no more than a masked text. */
function noteErrors<TOOLS extends ToolSet>(
  stream: ReadableStream<TextStreamPart<TOOLS>>,
  note: (error: unknown) => void,
): ReadableStream<TextStreamPart<TOOLS>> {
  return stream.pipeThrough(
    new TransformStream<TextStreamPart<TOOLS>, TextStreamPart<TOOLS>>({
      transform: (part, controller) => {
        if (part.type === 'error') note((part as { readonly error?: unknown }).error);
        controller.enqueue(part);
      },
    }),
  );
}

/** Gives each attempt exactly one `start`, its first chunk: by it readers know that an attempt begins. */
class Starts {
  #messageId: string | null = null;

  constructor(private readonly context: AnswerContext) {}

  get messageId(): string {
    return this.#messageId ?? this.context.id;
  }

  before(chunk: UIMessageChunk): UIMessageChunk[] {
    if (chunk.type === 'start') this.#messageId ??= chunk.messageId ?? null;
    if (!started.has(this.context)) {
      started.add(this.context);
      return chunk.type === 'start' ? [{ ...chunk, messageId: this.messageId }] : [{ type: 'start', messageId: this.messageId }, chunk];
    }
    if (chunk.type !== 'start') return [chunk];
    const { messageMetadata } = chunk;
    return messageMetadata === undefined ? [] : [{ type: 'message-metadata', messageMetadata }];
  }
}

function isStop({ reason }: AbortSignal): boolean {
  return (reason as Partial<AbortCause> | null)?.kind === 'stop';
}

function abortOf(cause: AbortCause): UIMessageChunk {
  const reason = 'reason' in cause && typeof cause.reason === 'string' ? { reason: cause.reason } : {};
  return { type: 'abort', ...reason };
}

/** Returns the messages of an input that a chat sent: an answer to the last one may continue it. */
function messagesIn(input: unknown): UIMessage[] | undefined {
  const messages: unknown = (input as { readonly messages?: unknown } | null)?.messages;
  const isMessage = (one: unknown): boolean =>
    typeof one === 'object' && one !== null && 'id' in one && 'role' in one && 'parts' in one && Array.isArray(one.parts);
  return Array.isArray(messages) && messages.every(isMessage) ? (messages as UIMessage[]) : undefined;
}
