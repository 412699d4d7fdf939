import { readAnswer } from './answer.js';
import { type CompletionChunk, hasChoices, readChunk } from './completion-chunk.js';
import { ConnectionBroken } from '../openai/exchange.js';
import { UpstreamFailure, isFinalAnswer } from '../openai/failure.js';
import type { Line } from '../openai/line.js';
import { type ReportedError, describeError, findError } from '../openai/reported-error.js';
import type { OpenAiUpstream } from '../openai/upstream.js';

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
