import type { Settings } from '../../../shared/settings/settings.js';
import { type ChatCompletionChunk, type ChatCompletionInput, type ChatCompletionOutput, chatCompletion } from '../definitions.js';
import { defineHandler, type TaskContext, type TaskHandler } from '../../../shared/task/handler.js';
import { refusalOf, request } from '../openai/exchange.js';
import { UpstreamFailure } from '../openai/failure.js';
import { type Line, openLine } from '../openai/line.js';
import { type OpenAiUpstream, upstreamAt } from '../openai/upstream.js';
import { unrecoverable } from '../../run/unrecoverable.js';
import { Completion, MAX_COMPLETION_LENGTH } from './completion.js';
import { completionChunks } from './completion-stream.js';

export interface ChatCompletionOptions {
  /** Longest silence of the server before the attempt fails, in ms. Default 120,000. */
  readonly idleTimeoutMs?: number;
}

/** The state of one attempt. */
interface Attempt {
  readonly context: TaskContext<ChatCompletionInput>;
  readonly upstream: OpenAiUpstream;
  readonly line: Line;
  readonly emit: (piece: ChatCompletionChunk) => void;
}

/**
 * Creates the handler of `chat.completion`. It emits each piece as it arrives; an abort closes the connection and throws the abort's
 * reason.
 *
 * Throws an `UnrecoverableError` if the server would answer the same again: after 3xx, after 4xx except 408, 409, 425 and 429, without
 * credit, and after too long an answer. Other errors may be retried, after the wait that the server asks for. A retry starts from the
 * beginning, and its text follows that of the failed attempt.
 *
 * If a server refuses `stream_options`, the handler repeats the request without them, and omits them from then on.
 */
export function chatCompletionHandler(settings: Settings, { idleTimeoutMs = 120_000 }: ChatCompletionOptions = {}): TaskHandler {
  const withoutOptions = new Set<number>();
  return defineHandler(chatCompletion, async (context) => {
    context.signal.throwIfAborted();
    const { base_url_index: server } = context.input;
    const upstream = upstreamAt(settings, server);
    const line = openLine({
      signal: context.signal,
      timeoutMs: idleTimeoutMs,
      late: `${upstream.label} sent nothing for ${idleTimeoutMs} ms`,
    });
    let said = false;
    const emit = (piece: ChatCompletionChunk): void => {
      said = true;
      context.emit(piece);
    };
    try {
      const attempt = { context, upstream, line, emit };
      if (withoutOptions.has(server)) return await complete(attempt, {});
      return await complete(attempt, { stream_options: { include_usage: true } }).catch((error: unknown) => {
        if (said || !refusesOptions(error)) throw error;
        withoutOptions.add(server);
        return complete(attempt, {});
      });
    } catch (error) {
      // After an abort, fetch or the stream may throw any error; the abort's reason decides the outcome.
      line.signal.throwIfAborted();
      throw error instanceof UpstreamFailure && error.final ? unrecoverable(error) : error;
    } finally {
      line.close();
    }
  });
}

async function complete({ context, upstream, line, emit }: Attempt, options: object): Promise<ChatCompletionOutput> {
  const { base_url_index: _, ...prompt } = context.input;
  const body = JSON.stringify({ ...prompt, stream: true, ...options });
  const response = await request(upstream, 'chat/completions', { method: 'POST', body, signal: line.signal });
  line.heard();
  if (!response.ok) throw await refusalOf(response, upstream);
  const completion = new Completion(context.input.model);
  for await (const chunk of completionChunks(response, upstream, line)) {
    for (const piece of completion.add(chunk)) emit(piece);
    if (completion.tooLong)
      throw new UpstreamFailure(`${upstream.label} sent a completion of more than ${MAX_COMPLETION_LENGTH} characters`, { final: true });
  }
  // A finished completion ends normally even if an abort broke the connection.
  context.signal.throwIfAborted();
  return completion.output();
}

/** Returns whether a server refused `stream_options`. */
function refusesOptions(error: unknown): boolean {
  return error instanceof UpstreamFailure && error.objectsTo(/stream_options|include_usage/);
}
