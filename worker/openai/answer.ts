import { createParser } from 'eventsource-parser';
import { bytesOf } from './exchange.js';
import { UpstreamFailure } from './failure.js';
import type { OpenAiUpstream } from './upstream.js';

/** One event of a stream, or a body that is no stream at all. */
export type AnswerPart =
  /** `cut`: the stream ended before the blank line that ends an event, so its data may not be whole. */
  | { readonly kind: 'event'; readonly name: string; readonly data: string; readonly cut: boolean }
  | { readonly kind: 'whole'; readonly text: string };

/** Longest single event of a stream, in characters. */
const MAX_EVENT_LENGTH = 4 * 1_048_576;
/** Longest body that is no stream, in characters. */
const MAX_WHOLE_LENGTH = 16 * 1_048_576;
/** What is kept of the beginning of a stream, to be quoted if no event comes, in characters. */
const HEAD_LENGTH = 4_096;

/**
 * Reads an answer by what it is, not by its content type: server-sent events, or a body that begins as JSON or HTML does and
 * is read as a whole. A body in which there is no event is a whole one too. Decodes across reads, so a character may be split
 * between two of them. Leaving the loop closes the connection.
 * @param onBytes called whenever something arrives, even if it completes no event
 * @throws ConnectionBroken if the answer breaks off; UpstreamFailure, which is final, if an event or a body is too long
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
  /** How many events there were. */
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

  /** The event that the blank line is missing of, if there is one. */
  end(): AnswerPart[] {
    this.#ended = true;
    return this.feed('\n\n');
  }
}
