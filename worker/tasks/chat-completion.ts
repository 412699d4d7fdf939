import { UnrecoverableError } from 'bullmq';
import type { Settings } from '../../shared/settings.js';
import { type ChatCompletionInput, type ChatCompletionOutput, chatCompletion } from '../../shared/task/builtin/index.js';
import { defineHandler, type TaskContext, type TaskHandler } from '../../shared/task/handler.js';
import { completionChunks, networkMessage } from './completion-stream.js';
import { type OpenAiUpstream, upstreamAt } from './openai-upstream.js';

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
    const line = openLine(context.signal, upstream, idleTimeoutMs);
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

async function post(upstream: OpenAiUpstream, input: ChatCompletionInput, signal: AbortSignal): Promise<Response> {
  const { base_url_index: _, ...request } = input;
  try {
    return await fetch(upstream.endpoint('chat/completions'), {
      method: 'POST',
      headers: upstream.headers,
      body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
      // A redirect would turn the POST into a GET, or take the prompt to a server that nobody configured.
      redirect: 'manual',
      signal,
    });
  } catch (error) {
    throw new Error(`Cannot reach ${upstream.label}: ${networkMessage(error)}`, { cause: error });
  }
}

async function refusalOf(response: Response, upstream: OpenAiUpstream): Promise<Error> {
  const body = upstream.excerpt(await startOf(response));
  const message = `${upstream.label} answered ${response.status}${body === '' ? '' : `: ${body}`}`;
  const passing = response.status === 408 || response.status === 429 || response.status >= 500;
  return passing ? new Error(message) : new UnrecoverableError(message);
}

/** The first 16 KiB or so of a body: enough for an excerpt, whatever the server sends. What broke off counts as the end. */
async function startOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const bytes of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      text += decoder.decode(bytes, { stream: true });
      if (text.length >= 16_384) break;
    }
  } catch {
    return text;
  }
  return text;
}

/** Watches over the connection to a server for as long as one attempt needs it. */
interface Line {
  /** Aborted with the task's own reason, or with an Error when nothing was heard for too long. */
  readonly signal: AbortSignal;
  /** Something arrived: the silence starts again. */
  readonly heard: () => void;
  /** Ends the watch. The connection itself ends with the loop over the response, however that is left. */
  close(): void;
}

function openLine(task: AbortSignal, upstream: OpenAiUpstream, idleTimeoutMs: number): Line {
  const controller = new AbortController();
  const hangUp = () => controller.abort(task.reason);
  task.addEventListener('abort', hangUp, { once: true });
  const silence = setTimeout(
    () => controller.abort(new Error(`${upstream.label} sent nothing for ${idleTimeoutMs} ms`)),
    idleTimeoutMs,
  );
  return {
    signal: controller.signal,
    heard: () => void silence.refresh(),
    close() {
      clearTimeout(silence);
      task.removeEventListener('abort', hangUp);
    },
  };
}
