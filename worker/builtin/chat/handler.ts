import type { Settings } from '../../../shared/settings/settings.js';
import { type TaskContext, type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { type ChatCompletionChunk, type ChatCompletionInput, type ChatCompletionOutput, chatCompletion } from '../definitions.js';
import { ConnectionBroken, UpstreamFailure, isFinalAnswer, refusalOf, request } from '../openai/exchange.js';
import { type ReportedError, describeError, findError } from '../openai/reported-error.js';
import { type Line, type OpenAiUpstream, openLine, upstreamAt } from '../openai/upstream.js';
import { readAnswer } from './answer.js';
import { type CompletionChunk, hasChoices, readChunk } from './completion-chunk.js';
import { Completion, MAX_COMPLETION_LENGTH } from './completion.js';
import { chatRates } from './rates.js';
import { tokensOf } from './tokens.js';

export interface ChatCompletionOptions {
  /** Longest silence of the server before the attempt fails, in ms. Default 120,000. */
  readonly idleTimeoutMs?: number;
}

/**
 * Creates the handler of `chat.completion`. It emits each piece as it arrives; an abort closes the connection and throws the abort's
 * reason.
 *
 * Throws an `UnrecoverableError` if the server would answer the same again: after 3xx, after 4xx except 408, 409, 425 and 429, without
 * credit, and after too long an answer. Other errors may be retried, after 429 and 503 at the time that `Retry-After` gives. A retry
 * starts from the beginning, and its text follows that of the failed attempt.
 *
 * If a server refuses `stream_options`, the handler repeats the request without them, and omits them from then on.
 */
export function chatCompletionHandler(settings: Settings, { idleTimeoutMs = 120_000 }: ChatCompletionOptions = {}): TaskHandler {
  const withoutOptions = new Set<number>();
  const completeTask = async (context: TaskContext<ChatCompletionInput>): Promise<ChatCompletionOutput> => {
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
      throw error instanceof UpstreamFailure ? error.toThrow(chatCompletion.retry.backoff.maxDelayMs) : error;
    } finally {
      line.close();
    }
  };
  return defineHandler(chatCompletion, completeTask, { rate: chatRates(settings) });
}

/** The state of one attempt. */
interface Attempt {
  readonly context: TaskContext<ChatCompletionInput>;
  readonly upstream: OpenAiUpstream;
  readonly line: Line;
  readonly emit: (piece: ChatCompletionChunk) => void;
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
    const tokens = tokensOf(chunk.usage);
    if (tokens !== null) context.spend(tokens);
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

/** Time for the rest of the answer after a finish reason (usage, `[DONE]`), in ms: the completion is already whole. */
const REST_MS = 10_000;

/** Finish reasons of a completion that the server gave up halfway: of OpenRouter, vLLM, Zhipu, DeepSeek. */
const FAILURES: ReadonlySet<string> = new Set(['error', 'abort', 'network_error', 'insufficient_system_resource']);

/** Keep-alive events. */
const KEEPALIVES: ReadonlySet<string> = new Set(['ping', 'keepalive', 'keep-alive', 'heartbeat']);

/**
 * Yields the chunks of a completion. A finish reason makes it complete, even if `[DONE]`, the last blank line or the rest of the answer is
 * missing; without one, neither `[DONE]` nor the end of the stream does. A completion sent as one JSON answer is one chunk.
 *
 * @throws UpstreamFailure with the server and the problem, if the answer ends early, is not a completion, has an invalid chunk or reports
 *   an error, which is quoted; ConnectionBroken if the connection breaks. Leaving the loop closes the connection.
 */
export async function* completionChunks(
  response: Response,
  upstream: OpenAiUpstream,
  line: Pick<Line, 'heard' | 'limit'>,
): AsyncGenerator<CompletionChunk, void, void> {
  let finished = false;
  try {
    for await (const part of readAnswer(response, upstream, line.heard)) {
      if (part.kind === 'whole') return yield* wholeCompletion(part.text, response, upstream);
      const data = part.data.trim();
      if (data === '[DONE]' && finished) return;
      if (data === '[DONE]') throw new UpstreamFailure(`${upstream.label} sent [DONE] before the completion was complete`);
      if (part.name === 'error')
        throw failureOf('reported an error in the stream', describeError(parse(data)?.json ?? data), data, upstream);
      if (data === '' || data.startsWith(':') || KEEPALIVES.has(part.name)) continue;
      const values = jsonValuesOf(data);
      // Nothing important is lost after the end of a completion, and another attempt would cost a whole one.
      if (values === null && finished) continue;
      if (values === null && part.cut) break;
      if (values === null) throw new UpstreamFailure(`${upstream.label} sent a chunk that is not JSON: ${upstream.excerpt(data)}`);
      for (const json of values) {
        const chunk = chunkOf(json, data, upstream);
        if (chunk.finishReason !== null && !finished) line.limit(REST_MS);
        finished ||= chunk.finishReason !== null;
        yield chunk;
      }
    }
  } catch (error) {
    if (finished && error instanceof ConnectionBroken) return;
    throw error;
  }
  if (!finished) throw new UpstreamFailure(`${upstream.label} ended the stream before the completion was complete`);
}

/** Yields the one chunk of a completion that was not streamed; some servers wrap it, or its error, in an array. */
function* wholeCompletion(text: string, response: Response, upstream: OpenAiUpstream): Generator<CompletionChunk, void, void> {
  const parsed = parse(text);
  const json: unknown = Array.isArray(parsed?.json) && parsed.json.length === 1 ? parsed.json[0] : parsed?.json;
  const error = findError(json);
  if (error !== null) throw failureOf(`answered ${response.status} with an error`, error, text, upstream);
  if (hasChoices(json)) return yield chunkOf(json, text, upstream);
  const words = upstream.excerpt(text);
  const got = words === '' ? 'nothing' : `an answer that is not a completion: ${words}`;
  throw new UpstreamFailure(`${upstream.label} answered ${response.status} with ${got}`);
}

function chunkOf(json: unknown, data: string, upstream: OpenAiUpstream): CompletionChunk {
  const error = findError(json);
  if (error !== null) throw failureOf('reported an error in the stream', error, data, upstream);
  const chunk = readChunk(json);
  if (chunk === null) throw new UpstreamFailure(`${upstream.label} sent an event that is not a chunk: ${upstream.excerpt(data)}`);
  if (chunk.finishReason === null || !FAILURES.has(chunk.finishReason)) return chunk;
  throw new UpstreamFailure(`${upstream.label} gave up halfway through the completion: finish_reason "${chunk.finishReason}"`);
}

/** Parses an event; null if it is not JSON. Servers that omit the blank lines send a chunk in each line of one event. */
function jsonValuesOf(data: string): unknown[] | null {
  const one = parse(data);
  if (one !== null) return [one.json];
  if (!data.includes('\n')) return null;
  const values = data
    .split('\n')
    .filter((part) => part.trim() !== '' && part.trim() !== '[DONE]')
    .map(parse);
  return values.every((value) => value !== null) ? values.map(({ json }) => json) : null;
}

function parse(text: string): { readonly json: unknown } | null {
  try {
    return { json: JSON.parse(text) as unknown };
  } catch {
    return null;
  }
}

function failureOf(what: string, error: ReportedError, data: string, upstream: OpenAiUpstream): UpstreamFailure {
  const excerpt = upstream.excerpt(error.words ?? data);
  const message = `${upstream.label} ${what}${excerpt === '' ? '' : `: ${excerpt}`}`;
  return new UpstreamFailure(message, { words: data, status: error.status, final: isFinalAnswer(error) });
}
