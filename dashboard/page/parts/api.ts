import { type StreamState, TaskfleetClient, TaskfleetError } from '../client.js';
import type { Me } from './api-types.js';

/** The dashboard's mount point; this file is served from `assets/page/` below it. */
export const ROOT = new URL('../../../', import.meta.url);
/** A smaller clock difference is attributed to network latency. */
const MIN_SKEW_MS = 2_000;

let skewMs = 0;

/** Returns the server's time, in ms: the browser's clock may be wrong. */
export function now(): number {
  return Date.now() + skewMs;
}

const client = new TaskfleetClient({
  baseUrl: ROOT.href,
  fetch: ask,
  // A write of a browser session must show that it comes from a page of the dashboard.
  headers: async (method) => {
    const csrf = method === 'GET' ? null : (await me()).csrf_token;
    return csrf === null ? {} : { 'X-CSRF-Token': csrf };
  },
});

/** Notes the server's clock. A session that has ended leads to the sign-in page. */
async function ask(url: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init);
  const date = Date.parse(answer.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) skewMs = Math.abs(date - Date.now()) > MIN_SKEW_MS ? date - Date.now() : 0;
  if (answer.status === 401) location.reload();
  return answer;
}

export function taskPath(id: string): string {
  return `tasks/${encodeURIComponent(id)}`;
}

/** Reads from the API. @param path relative to the API's base path. @throws TaskfleetError, whose message is for the user */
export function read<Body>(path: string): Promise<Body> {
  return client.request<Body>('GET', `/${path}`).catch(explain);
}

/** @throws TaskfleetError, whose message is for the user */
export function write<Body>(path: string, body: Readonly<Record<string, unknown>> = {}): Promise<Body> {
  return client.request<Body>('POST', `/${path}`, { body }).catch(explain);
}

/** Words the errors that are not the API's own. */
function explain(error: unknown): never {
  if (!(error instanceof TaskfleetError) || error.problem) throw error;
  const { code, status } = error;
  const text = code === 'UNREACHABLE' ? 'The dashboard cannot be reached.' : `The dashboard answered with ${status}.`;
  throw new TaskfleetError(code, text, { status, cause: error });
}

let principal: Promise<Me> | null = null;

/** Returns the signed-in user; cached. @throws TaskfleetError */
export function me(): Promise<Me> {
  principal ??= read<Me>('me').catch((error: unknown) => {
    principal = null;
    throw error;
  });
  return principal;
}

/** `ended`: no more events will follow. */
export type LinkState = 'connecting' | 'live' | 'lost' | 'ended';

export interface EventStreamOptions {
  /** Relative to the API's base path. */
  readonly path: string;
  /** Handlers by event name. */
  readonly on: Readonly<Record<string, (data: never) => void>>;
  readonly onLink: (state: LinkState) => void;
}

const RETRY_MS = 3_000;

/** A stream of API events that stays open with the page, also after an error response. */
export class EventStream {
  #leave: AbortController | null = null;
  #timer = 0;
  #lastId: string | null = null;

  constructor(private readonly options: EventStreamOptions) {}

  open(): void {
    this.#stop();
    this.#leave = new AbortController();
    this.options.onLink('connecting');
    void this.#follow(this.#leave.signal);
  }

  close(): void {
    this.#stop();
    this.options.onLink('ended');
  }

  #stop(): void {
    window.clearTimeout(this.#timer);
    this.#leave?.abort();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { path, on, onLink } = this.options;
    const onConnection = ({ state }: StreamState): void => {
      if (state !== 'connecting') onLink(state === 'open' ? 'live' : 'lost');
    };
    try {
      for await (const { event, id, data } of client.stream(`/${path}`, { after: this.#lastId, signal, onConnection })) {
        // Strips the end marker: a retried task may have finished again in the meantime.
        this.#lastId = id?.replace(/-end$/, '') ?? this.#lastId;
        on[event]?.(JSON.parse(data) as never);
      }
      onLink('ended');
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TaskfleetError)) reportError(error);
      onLink('lost');
      this.#timer = window.setTimeout(() => this.open(), RETRY_MS);
    }
  }
}
