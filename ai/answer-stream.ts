import type { UIMessageChunk } from 'ai';
import { type AnswerEvent, AnswerReader } from './answer-reader.js';

/** Opens the events of a task; the signal is aborted when nobody reads the answer any more. */
export type OpenEvents = (signal: AbortSignal) => AsyncIterable<AnswerEvent>;

export interface AnswerStreamOptions {
  /**
   * Returns the text of an `error` chunk for an error, as in the SDK. Default: the stream itself fails, with {@link AnswerFailed} and
   * others.
   */
  readonly onError?: (error: unknown) => string;
}

/**
 * Returns the answer of a task as the SDK's UI message stream: its chunks so far, then those that follow, until the task ends. For a route
 * of your own: `createUIMessageStreamResponse({ stream: uiMessageStreamOf((signal) => producer.events(id, { signal })) })`.
 */
export function uiMessageStreamOf(open: OpenEvents, { onError }: AnswerStreamOptions = {}): ReadableStream<UIMessageChunk> {
  const reader = new AnswerReader();
  const left = new AbortController();
  let events: AsyncIterator<AnswerEvent> | null = null;
  return new ReadableStream<UIMessageChunk>({
    pull: async (controller) => {
      try {
        events ??= open(left.signal)[Symbol.asyncIterator]();
        for (let count = 0; count === 0;) {
          const { done, value } = await events.next();
          const chunks = done ? [] : reader.read(value);
          for (const chunk of chunks) controller.enqueue(chunk);
          count = chunks.length;
          if (done || reader.ended) {
            left.abort();
            return controller.close();
          }
        }
      } catch (error) {
        if (left.signal.aborted) return;
        left.abort();
        if (!onError) return controller.error(error);
        controller.enqueue({ type: 'error', errorText: onError(error) });
        controller.close();
      }
    },
    cancel: () => left.abort(),
  });
}

/** A pause between two events that shows that a reader has caught up, in ms. */
const QUIET_MS = 100;
/** How long events are held back at most, in ms. */
const LONGEST_HOLD_MS = 1_000;

/**
 * Yields the events without the chunks of earlier attempts: holds the events back until there is a pause, and begins with the newest
 * `start`. A page that has shown nothing yet then needs no correction.
 */
export async function* fromNewestAttempt<Event extends AnswerEvent>(events: AsyncIterable<Event>): AsyncGenerator<Event, void, undefined> {
  const iterator = events[Symbol.asyncIterator]();
  const held: Event[] = [];
  let next = iterator.next();
  try {
    // The first event comes when the connection is open.
    const first = await next;
    const until = performance.now() + LONGEST_HOLD_MS;
    for (let result: IteratorResult<Event, void> | null = first; result && !result.done && performance.now() < until;) {
      held.push(result.value);
      next = iterator.next();
      result = await Promise.race([next, quiet(QUIET_MS)]);
    }
    const newest = held.findLastIndex(({ chunk }) => (chunk as { readonly type?: unknown } | undefined)?.type === 'start');
    yield* held.filter(({ type }, index) => type !== 'chunk' || index >= newest);
    for (let { done, value } = await next; !done && value; { done, value } = await next) {
      yield value;
      next = iterator.next();
    }
  } finally {
    void iterator.return?.();
  }
}

function quiet(ms: number): Promise<null> {
  return new Promise((resolve) => setTimeout(resolve, ms, null));
}
