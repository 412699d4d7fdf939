import { createParser } from 'eventsource-parser';
import { z } from 'zod';
import { bytesOf } from '../openai/exchange.js';
import type { OpenAiUpstream } from '../openai/upstream.js';

/** Longest single event of a stream, in characters. */
const MAX_EVENT_LENGTH = 4 * 1_048_576;

const chunkSchema = z.object({
  model: z.string().nullish(),
  choices: z
    .array(
      z.object({
        delta: z.object({ content: z.string().nullish() }).nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .nullish(),
  usage: z.record(z.string(), z.unknown()).nullish(),
  error: z.unknown().optional(),
});

/** One chunk of a streamed completion; what is absent in the chunk is null. */
export interface CompletionChunk {
  readonly delta: string | null;
  readonly finishReason: string | null;
  readonly model: string | null;
  readonly usage: Record<string, unknown> | null;
}

/**
 * The chunks of a streamed completion, in order, until `data: [DONE]`. A stream that just ends is complete only if a
 * chunk had a `finish_reason`: some servers leave `[DONE]` out.
 * Protocol: https://platform.openai.com/docs/api-reference/chat-streaming, framed as server-sent events.
 *
 * @param onBytes called whenever something arrives, even if it completes no chunk.
 * @throws Error that names the server and what is wrong, if the stream breaks off, ends too early, has a chunk that is
 *   not JSON or not a chunk, or reports an error. Leaving the loop closes the connection.
 */
export async function* completionChunks(
  response: Response,
  upstream: OpenAiUpstream,
  onBytes: () => void,
): AsyncGenerator<CompletionChunk, void, void> {
  let finished = false;
  for await (const data of eventData(response, upstream, onBytes)) {
    if (data === '[DONE]') return;
    const chunk = parseChunk(data, upstream);
    finished ||= chunk.finishReason !== null;
    yield chunk;
  }
  if (finished) return;
  const type = response.headers.get('content-type');
  throw new Error(
    `${upstream.label} ended the stream before the completion was complete` +
      (type?.startsWith('text/event-stream') ? '' : ` (expected text/event-stream, got ${upstream.excerpt(type ?? 'no content type')})`),
  );
}

/** The `data` of each server-sent event. Decodes across reads, so a character may be split between two of them. */
async function* eventData(
  response: Response,
  upstream: OpenAiUpstream,
  onBytes: () => void,
): AsyncGenerator<string, void, void> {
  const ready: string[] = [];
  const parser = createParser({
    maxBufferSize: MAX_EVENT_LENGTH,
    onEvent: ({ data }) => ready.push(data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') {
        throw new Error(`${upstream.label} sent an event of more than ${MAX_EVENT_LENGTH} characters`);
      }
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of bytesOf(response, upstream)) {
    onBytes();
    parser.feed(decoder.decode(bytes, { stream: true }));
    yield* ready.splice(0).filter((data) => data !== '');
  }
}

function parseChunk(data: string, upstream: OpenAiUpstream): CompletionChunk {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    throw new Error(`${upstream.label} sent a chunk that is not JSON: ${upstream.excerpt(data)}`);
  }
  const parsed = chunkSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${upstream.label} sent something that is not a chunk: ${upstream.excerpt(data)}`);
  const { choices, model, usage, error } = parsed.data;
  if (error !== undefined && error !== null) {
    throw new Error(`${upstream.label} reported an error in the stream: ${upstream.excerpt(describeError(error))}`);
  }
  const choice = choices?.[0];
  return {
    delta: choice?.delta?.content || null,
    finishReason: choice?.finish_reason ?? null,
    model: model ?? null,
    usage: usage ?? null,
  };
}

function describeError(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string') return error.message;
  return JSON.stringify(error);
}
