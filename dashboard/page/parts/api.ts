import type { Me, Problem, Receipt } from './api-types.js';

/** The dashboard's mount point; this file is served from `assets/page/` below it. */
export const ROOT = new URL('../../../', import.meta.url);
const API = new URL('api/v1/', ROOT);
/** A smaller clock difference is attributed to network latency. */
const MIN_SKEW_MS = 2_000;

let skewMs = 0;

/** Returns the server's time, in ms: the browser's clock may be wrong. */
export function now(): number {
  return Date.now() + skewMs;
}

/** An error response of the API, or no response. The message is shown to the user. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** 0 for no response. */
  readonly status: number;
  readonly code: Problem['code'] | null;
  /** The receipt, for a task that had finished before its stop. */
  readonly receipt: Receipt | null;

  constructor(message: string, status: number, problem: Partial<Problem> = {}) {
    super(message);
    this.status = status;
    this.code = problem.code ?? null;
    this.receipt = problem.receipt ?? null;
  }
}

function apiUrl(path: string): URL {
  return new URL(path, API);
}

export function taskPath(id: string): string {
  return `tasks/${encodeURIComponent(id)}`;
}

/** @throws ApiError */
export async function read<Body>(path: string): Promise<Body> {
  return (await send(path, {})) as Body;
}

/** @throws ApiError */
export async function write<Body>(path: string, body: Readonly<Record<string, unknown>> = {}): Promise<Body> {
  const { csrf_token: csrf } = await me();
  const headers = { 'Content-Type': 'application/json', ...(csrf !== null && { 'X-CSRF-Token': csrf }) };
  return (await send(path, { method: 'POST', headers, body: JSON.stringify(body) })) as Body;
}

let principal: Promise<Me> | null = null;

/** Returns the signed-in user; cached unless `again` is set. @throws ApiError */
export function me(again = false): Promise<Me> {
  if (again) principal = null;
  principal ??= read<Me>('me').catch((error: unknown) => {
    principal = null;
    throw error;
  });
  return principal;
}

async function send(path: string, init: RequestInit): Promise<unknown> {
  const answer = await fetch(apiUrl(path), init).catch(() => {
    throw new ApiError('The dashboard cannot be reached.', 0);
  });
  const date = Date.parse(answer.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) skewMs = Math.abs(date - Date.now()) > MIN_SKEW_MS ? date - Date.now() : 0;
  // The session has ended: a reload leads to the sign-in page.
  if (answer.status === 401) location.reload();
  const body = (await answer.json().catch(() => ({}))) as Partial<Problem>;
  if (!answer.ok) throw new ApiError(body.detail ?? `The dashboard answered with ${answer.status}.`, answer.status, body);
  return body;
}

/** `ended`: no more events will follow. */
export type LinkState = 'connecting' | 'live' | 'lost' | 'ended';

interface EventStreamOptions {
  /** Relative to the API's base path. */
  readonly path: string;
  /** Handlers by event name. */
  readonly on: Readonly<Record<string, (data: never, id: string) => void>>;
  readonly onLink: (state: LinkState) => void;
}

const RETRY_MS = 3_000;

/**
 * A stream of API events that stays open with the page. The browser reconnects after a network error and sends the last event id. It
 * gives up on an error response; this class then reconnects with that id.
 */
export class EventStream {
  #source: EventSource | null = null;
  #timer: number | null = null;
  #lastId = '';

  constructor(private readonly options: EventStreamOptions) {}

  open(): void {
    this.#stop();
    const url = apiUrl(this.options.path);
    // Strips the end marker: a retried task may have finished again in the meantime.
    if (this.#lastId !== '') url.searchParams.set('after', this.#lastId.replace(/-end$/, ''));
    const source = new EventSource(url);
    this.#source = source;
    this.options.onLink('connecting');
    source.addEventListener('open', () => this.options.onLink('live'));
    source.addEventListener('error', () => this.#onError(source));
    for (const [name, handle] of Object.entries(this.options.on)) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        this.#lastId = event.lastEventId || this.#lastId;
        handle(JSON.parse(event.data) as never, event.lastEventId);
      });
    }
  }

  close(): void {
    this.#stop();
    this.options.onLink('ended');
  }

  #stop(): void {
    if (this.#timer !== null) window.clearTimeout(this.#timer);
    this.#timer = null;
    this.#source?.close();
    this.#source = null;
  }

  #onError(source: EventSource): void {
    if (source !== this.#source) return;
    this.options.onLink('lost');
    if (source.readyState === EventSource.CLOSED) this.#retry();
  }

  #retry(): void {
    this.#timer = window.setTimeout(() => {
      // A 401 means that the session has ended (and reloads the page); other errors mean that the server is down.
      me(true).then(
        () => this.open(),
        () => this.#retry(),
      );
    }, RETRY_MS);
  }
}
