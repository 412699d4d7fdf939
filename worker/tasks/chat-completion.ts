import { UnrecoverableError } from 'bullmq';
import type { Settings } from '../../shared/settings.js';
import { type ChatCompletionInput, type ChatCompletionOutput, chatCompletion } from '../../shared/task/builtin/index.js';
import { defineHandler, type TaskContext, type TaskHandler } from '../../shared/task/handler.js';
import { describeRefusal, request } from '../openai/exchange.js';
import { type Line, openLine } from '../openai/line.js';
import { type OpenAiUpstream, upstreamAt } from '../openai/upstream.js';
import { completionChunks } from './completion-stream.js';

export interface ChatCompletionOptions {
  /** Longest silence of the server before the attempt fails, in ms. Default 120,000. */
  readonly idleTimeoutMs?: number;
}

/**
 * The handler of `chat.completion`. Emits each piece of text as a string while it arrives; an abort closes the
 * connection to the server and the abort's reason is thrown.
 *
 * Network errors, silence, broken streams and the statuses 408, 429 and 5xx throw an Error and may be retried; every
 * other refusal throws `UnrecoverableError`. A retry asks from the beginning, and its text follows what the failed
 * attempt had emitted.
 */
export function chatCompletionHandler(settings: Settings, { idleTimeoutMs = 120_000 }: ChatCompletionOptions = {}): TaskHandler {
  return defineHandler(chatCompletion, async (context) => {
    context.signal.throwIfAborted();
    const upstream = upstreamAt(settings, context.input.base_url_index);
    const line = openLine({ signal: context.signal, timeoutMs: idleTimeoutMs, late: `${upstream.label} sent nothing for ${idleTimeoutMs} ms` });
    try {
      return await complete(context, upstream, line);
    } catch (error) {
      // An abort surfaces as whatever fetch or the stream made of it; its reason is what decides about the task.
      line.signal.throwIfAborted();
      throw error;
    } finally {
      line.close();
    }
  });
}

async function complete(
  context: TaskContext<ChatCompletionInput>,
  upstream: OpenAiUpstream,
  line: Line,
): Promise<ChatCompletionOutput> {
  const response = await post(upstream, context.input, line.signal);
  line.heard();
  if (!response.ok) throw await refusalOf(response, upstream);
  const output: ChatCompletionOutput = { content: '', model: context.input.model, finish_reason: null, chunks: 0, usage: null };
  for await (const chunk of completionChunks(response, upstream, line.heard)) {
    output.model = chunk.model ?? output.model;
    output.finish_reason = chunk.finishReason ?? output.finish_reason;
    output.usage = chunk.usage ?? output.usage;
    if (chunk.delta === null) continue;
    output.content += chunk.delta;
    output.chunks += 1;
    context.emit(chunk.delta);
  }
  return output;
}

function post(upstream: OpenAiUpstream, input: ChatCompletionInput, signal: AbortSignal): Promise<Response> {
  const { base_url_index: _, ...prompt } = input;
  const body = JSON.stringify({ ...prompt, stream: true, stream_options: { include_usage: true } });
  return request(upstream, 'chat/completions', { method: 'POST', body, signal });
}

async function refusalOf(response: Response, upstream: OpenAiUpstream): Promise<Error> {
  const message = await describeRefusal(response, upstream);
  const passing = response.status === 408 || response.status === 429 || response.status >= 500;
  return passing ? new Error(message) : new UnrecoverableError(message);
}
