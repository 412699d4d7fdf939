import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type EventSourceMessage, createParser } from 'eventsource-parser';
import { taskEvents } from '../../../../dashboard/api/schemas/event.js';
import type { PRINCIPALS } from '../serve-api.js';

export interface Heard {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Record<string, unknown>;
}

export interface EventClientOptions {
  readonly as?: keyof typeof PRINCIPALS;
  readonly lastEventId?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Follows an event stream as a browser does, but reconnects only on request. */
export class EventClient {
  readonly heard: Heard[] = [];
  /** Returns the data of the events of that name. */
  readonly chunks: unknown[] = [];
  readonly status: number;
  /** Comments of the stream. */
  readonly comments: string[] = [];
  retry: number | null = null;
  readonly #response: IncomingMessage;
  readonly #ended: Promise<void>;
  #notice: (() => void) | null = null;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    const onEvent = ({ event = 'message', id, data }: EventSourceMessage): void => {
      const heard = { event, id, data: JSON.parse(data) as Record<string, unknown> };
      // Throws if the API sends something other than its document says.
      if (event === 'state' || event === 'chunk' || event === 'progress') taskEvents[event].parse(heard.data);
      this.heard.push(heard);
      if (event === 'chunk') this.chunks.push(heard.data['chunk']);
      this.#notice?.();
    };
    const parser = createParser({ onEvent, onRetry: (ms) => (this.retry = ms), onComment: (comment) => void this.comments.push(comment) });
    response
      .setEncoding('utf8')
      .on('data', (text: string) => parser.feed(text))
      .on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      response.once('close', () => {
        resolve();
        this.#notice?.();
      });
    });
  }

  static async open(
    port: number,
    path: string,
    { as = 'admin', lastEventId, headers: more = {} }: EventClientOptions = {},
  ): Promise<EventClient> {
    const headers = { 'x-as': as, ...(lastEventId !== undefined && { 'last-event-id': lastEventId }), ...more };
    const outgoing = request({ host: '127.0.0.1', port, path: `/api/v1${path}`, headers, agent: false }).end();
    outgoing.on('error', () => undefined);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    return new EventClient(response);
  }

  /** Resolves with the events once the condition holds. @throws if the stream ends before */
  async until(holds: (heard: readonly Heard[]) => boolean): Promise<readonly Heard[]> {
    while (!holds(this.heard)) {
      if (this.#response.closed || this.#response.destroyed) throw new Error(`The stream ended after ${JSON.stringify(this.heard.at(-1))}`);
      await new Promise<void>((resolve) => (this.#notice = resolve));
    }
    return this.heard;
  }

  /** Waits until the server has ended the stream. */
  async end(): Promise<readonly Heard[]> {
    await this.#ended;
    return this.heard;
  }

  /** Stops reading from the connection. */
  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  leave(): void {
    this.#response.destroy();
  }

  get lastId(): string | undefined {
    return this.heard.findLast(({ id }) => id)?.id;
  }
}
