import type { Settings } from '../../shared/settings.js';
import {
  type ChatCompletionChunk,
  type ChatCompletionInput,
  type ChatCompletionOutput,
  chatCompletion,
} from '../../shared/task/builtin/index.js';
import { defineHandler, type TaskContext, type TaskHandler } from '../../shared/task/handler.js';
import { refusalOf, request } from '../openai/exchange.js';
import { UpstreamFailure } from '../openai/failure.js';
import { type Line, openLine } from '../openai/line.js';
import { type OpenAiUpstream, upstreamAt } from '../openai/upstream.js';
import { unrecoverable } from '../unrecoverable.js';
import { Completion, MAX_COMPLETION_LENGTH } from './completion.js';
import { completionChunks } from './completion-stream.js';

export interface ChatCompletionOptions {
  /** Longest silence of the server before the attempt fails, in ms. Default 120,000. */
  readonly idleTimeoutMs?: number;
}

/** What one attempt works with. */
interface Attempt {
  readonly context: TaskContext<ChatCompletionInput>;
  readonly upstream: OpenAiUpstream;
  readonly line: Line;
  readonly emit: (piece: ChatCompletionChunk) => void;
}

/**
 * The handler of `chat.completion`. Emits each piece while it arrives; an abort closes the connection to the server and the
 * abort's reason is thrown.
 *
 * Throws an `UnrecoverableError` where the server would answer the same again: after 3xx, after 4xx but for 408, 409, 425 and 429,
 * without credit, and after an answer that is too long. Everything else may be retried, after the wait that the server asked
 * for. A retry asks from the beginning, and its text follows what the failed attempt had emitted.
 *
 * A server that refuses `stream_options` is asked again without them, and from then on never again with them by this handler.
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
      // An abort surfaces as whatever fetch or the stream made of it; its reason is what decides about the task.
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
  // The chunks of a completion that is there end in peace, also when an abort broke the connection.
  context.signal.throwIfAborted();
  return completion.output();
}

/** Whether a server does not know `stream_options`. */
function refusesOptions(error: unknown): boolean {
  return error instanceof UpstreamFailure && error.objectsTo(/stream_options|include_usage/);
}
