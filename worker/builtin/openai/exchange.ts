import { messageOf } from '../../../shared/errors.js';
import { UpstreamFailure, isFinalAnswer, retryAfterOf } from './failure.js';
import { findError } from './reported-error.js';
import type { OpenAiUpstream } from './upstream.js';

/** Most bytes read from the body of a refusal: enough for an excerpt. */
const REFUSAL_LENGTH = 16_384;

/** The connection to a server broke during an answer. */
export class ConnectionBroken extends Error {
  override readonly name = 'ConnectionBroken';
}

/**
 * Sends a request to a server, with its key.
 * @throws Error with the server, if it cannot be reached
 */
export async function request(
  upstream: OpenAiUpstream,
  path: string,
  init: Pick<RequestInit, 'method' | 'body' | 'signal'>,
): Promise<Response> {
  try {
    // A redirect would turn a POST into a GET, or send prompt and key to an unconfigured server.
    return await fetch(upstream.endpoint(path), { ...init, headers: upstream.headers, redirect: 'manual' });
  } catch (error) {
    throw new Error(`Cannot reach ${upstream.label}: ${networkMessage(error)}`, { cause: error });
  }
}

/**
 * Yields the bytes of an answer. Leaving the loop closes the connection.
 * @throws ConnectionBroken with the server, if the answer breaks off
 */
export async function* bytesOf(response: Response, upstream: OpenAiUpstream): AsyncGenerator<Uint8Array, void, void> {
  if (response.body === null) return;
  try {
    yield* response.body as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw new ConnectionBroken(`The stream from ${upstream.label} broke off: ${networkMessage(error)}`, { cause: error });
  }
}

/** Describes an answer that is not 2xx: its status and an excerpt of its body. */
export async function refusalOf(response: Response, upstream: OpenAiUpstream): Promise<UpstreamFailure> {
  const words = await startOf(response, upstream);
  const excerpt = upstream.excerpt(words);
  return new UpstreamFailure(`${upstream.label} answered ${response.status}${excerpt === '' ? '' : `: ${excerpt}`}`, {
    words,
    status: response.status,
    final: isFinalAnswer({ codes: codesIn(words), status: response.status }),
    retryAfterMs: retryAfterOf(response.headers),
  });
}

function codesIn(body: string): readonly string[] {
  try {
    return findError(JSON.parse(body))?.codes ?? [];
  } catch {
    return [];
  }
}

/** Reads the start of a body. A body that breaks off ends there. */
async function startOf(response: Response, upstream: OpenAiUpstream): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const bytes of bytesOf(response, upstream)) {
      text += decoder.decode(bytes, { stream: true });
      if (text.length >= REFUSAL_LENGTH) break;
    }
  } catch {
    return text;
  }
  return text;
}

/** Returns the network error, which fetch hides in the cause of `fetch failed` and `terminated`. */
function networkMessage(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}
