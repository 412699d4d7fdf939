import { createParser } from 'eventsource-parser';
import { UpstreamFailure, bytesOf } from '../openai/exchange.js';
import type { OpenAiUpstream } from '../openai/upstream.js';

/** One event of a stream, or a body that is not a stream. */
export type AnswerPart =
  /** `cut`: the stream ended before the blank line after an event, so its data may be incomplete. */
  | { readonly kind: 'event'; readonly name: string; readonly data: string; readonly cut: boolean }
  | { readonly kind: 'whole'; readonly text: string };

/** Longest single event of a stream, in characters. */
const MAX_EVENT_LENGTH = 4 * 1_048_576;
/** Longest body that is not a stream, in characters. */
const MAX_WHOLE_LENGTH = 16 * 1_048_576;
/** Characters kept from the start of a stream, to be quoted if no event arrives. */
const HEAD_LENGTH = 4_096;

/**
 * Reads an answer by its content, not its content type: server-sent events, or a whole body if it starts like JSON or HTML or has no event.
 * Decodes across reads, because a character may be split between two. Leaving the loop closes the connection.
 * @param onBytes called whenever bytes arrive, even if they complete no event
 * @throws ConnectionBroken if the answer breaks off; a final UpstreamFailure if an event or a body is too long
 */
export async function* readAnswer(
  response: Response,
  upstream: OpenAiUpstream,
  onBytes: () => void,
): AsyncGenerator<AnswerPart, void, void> {
  const decoder = new TextDecoder();
  const events = new EventReader(upstream);
  let whole: string | null = null;
  let head = '';
  for await (const bytes of bytesOf(response, upstream)) {
    onBytes();
    let text = decoder.decode(bytes, { stream: true });
    if (head === '') {
      text = text.trimStart();
      if (/^[{[<]/.test(text)) whole = '';
    }
    if (head.length < HEAD_LENGTH) head = (head + text).slice(0, HEAD_LENGTH);
    if (whole === null) yield* events.feed(text);
    else whole = extend(whole, text, upstream);
  }
  const rest = decoder.decode();
  if (whole !== null) return yield { kind: 'whole', text: whole + rest };
  yield* events.feed(rest);
  yield* events.end();
  if (events.seen === 0) yield { kind: 'whole', text: head.replaceAll(/^:.*$/gm, '') };
}

function extend(whole: string, text: string, upstream: OpenAiUpstream): string {
  if (whole.length + text.length <= MAX_WHOLE_LENGTH) return whole + text;
  throw new UpstreamFailure(`${upstream.label} sent an answer of more than ${MAX_WHOLE_LENGTH} characters`, { final: true });
}

class EventReader {
  /** Number of events so far. */
  seen = 0;
  readonly #ready: { kind: 'event'; name: string; data: string; cut: boolean }[] = [];
  readonly #parser: ReturnType<typeof createParser>;
  #ended = false;

  constructor(upstream: OpenAiUpstream) {
    this.#parser = createParser({
      maxBufferSize: MAX_EVENT_LENGTH,
      onEvent: ({ event = '', data }) => {
        this.seen += 1;
        this.#ready.push({ kind: 'event', name: event, data, cut: this.#ended });
      },
      onError: ({ type }) => {
        if (type !== 'max-buffer-size-exceeded') return;
        throw new UpstreamFailure(`${upstream.label} sent an event of more than ${MAX_EVENT_LENGTH} characters`, { final: true });
      },
    });
  }

  feed(text: string): AnswerPart[] {
    this.#parser.feed(text);
    return this.#ready.splice(0);
  }

  /** Yields the last event if its blank line is missing. */
  end(): AnswerPart[] {
    this.#ended = true;
    return this.feed('\n\n');
  }
}
