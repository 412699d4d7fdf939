import { type EventSourceMessage, createParser } from 'eventsource-parser';
import { backoff } from './backoff.js';
import type { Connection } from './connection.js';
import { TaskNotFoundError } from './error-classes.js';
import { type TaskfleetError, isTransient } from './errors.js';

/** The state of a stream's connection: `lost` until the next attempt in `retryMs`. */
export type StreamState =
  | { readonly state: 'connecting' | 'open' }
  | { readonly state: 'lost'; readonly error: TaskfleetError | null; readonly retryMs: number; readonly wasOpen: boolean };

export interface StreamOptions {
  readonly signal?: AbortSignal | undefined;
  /** Resumes after the event with this id. Default: from the first event that is kept. */
  readonly after?: string | null | undefined;
  /** Called when the connection changes. An error that it throws ends the stream, which else resumes until the signal aborts. */
  readonly onConnection?: ((state: StreamState) => void) | undefined;
}

/** A message of an event stream. */
export interface StreamMessage {
  readonly event: string;
  readonly id: string | null;
  readonly data: string;
}

/** The position in a stream. */
interface Position {
  /** The id of the last event. */
  id: string | null;
  /** The server's delay before a reconnection, in ms. */
  baseMs: number;
  /** The server has no more events. */
  ended: boolean;
}

const BASE_MS = 1_000;

/**
 * Yields the messages of an event stream, and resumes after the last one when the connection is lost: after an exponential
 * back-off with full jitter, beside the server's `Retry-After`. Returns when the server has no more events, and if the task is gone after a loss.
 * @throws TaskfleetError that a repetition would not help; the signal's reason
 */
export async function* messagesOf(
  connection: Connection,
  path: string,
  { signal, after, onConnection = () => undefined }: StreamOptions,
): AsyncGenerator<StreamMessage, void, undefined> {
  const position: Position = { id: after ?? null, baseMs: BASE_MS, ended: false };
  let wasOpen = false;
  let failures = 0;
  const onOpen = (): void => {
    wasOpen = true;
    onConnection({ state: 'open' });
  };
  for (; ; failures += 1) {
    let error: TaskfleetError | null = null;
    signal?.throwIfAborted();
    onConnection({ state: 'connecting' });
    try {
      for await (const message of untilLost(connection, path, position, signal, onOpen)) {
        failures = 0;
        yield message;
      }
      if (position.ended) return;
    } catch (thrown) {
      signal?.throwIfAborted();
      if (wasOpen && thrown instanceof TaskNotFoundError) return;
      if (!isTransient(thrown)) throw thrown;
      error = thrown;
    }
    const retryMs = (error?.retryAfterMs ?? 0) + backoff(failures, position.baseMs);
    onConnection({ state: 'lost', error, retryMs, wasOpen });
    await sleep(retryMs, signal);
  }
}

/** Yields the messages of one connection. Closes it when the caller leaves, and when it is silent for too long. */
async function* untilLost(
  connection: Connection,
  path: string,
  position: Position,
  signal: AbortSignal | undefined,
  onOpen: () => void,
): AsyncGenerator<StreamMessage, void, undefined> {
  const leave = new AbortController();
  let reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** Waits for the server, which sends comments while it has no events. */
  const heard = async <Value>(value: Promise<Value>): Promise<Value> => {
    const silent = setTimeout(() => leave.abort(new Error('The stream is silent.')), connection.silenceMs);
    return value.finally(() => clearTimeout(silent));
  };
  try {
    const headers = position.id === null ? {} : { 'Last-Event-ID': position.id };
    const stream = await heard(connection.open(path, { headers, signal }, leave.signal));
    position.ended = stream === null;
    if (stream === null) return;
    onOpen();
    reader = stream.getReader();
    const arrived: EventSourceMessage[] = [];
    const parser = createParser({
      onEvent: (message) => void arrived.push(message),
      onRetry: (ms) => {
        position.baseMs = ms;
      },
    });
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await heard(connection.answered(reader.read(), signal));
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      for (const { event = 'message', id = null, data } of arrived.splice(0)) {
        position.id = id ?? position.id;
        yield { event, id, data };
      }
    }
  } finally {
    leave.abort();
    void reader?.cancel().catch(() => undefined);
  }
}

/** Waits, until the signal aborts. */
function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, signal?.aborted ? 0 : ms);
    signal?.addEventListener('abort', wake);
  });
}
