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

export function apiUrl(path: string): URL {
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
