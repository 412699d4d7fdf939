import type { Me, Problem, Receipt } from './api-types.js';

/** Where the dashboard is mounted; this file is at `assets/page/` below it. */
export const ROOT = new URL('../../', import.meta.url);
const API = new URL('api/v1/', ROOT);
/** A difference of clocks below this is the time that an answer took. */
const SKEW_COUNTS_MS = 2_000;

let skewMs = 0;

/** The server's time, in ms: the clock of this machine may be wrong. */
export function now(): number {
  return Date.now() + skewMs;
}

/** The API refused, or cannot be reached. The message is for people. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** 0: there was no answer. */
  readonly status: number;
  readonly code: Problem['code'] | null;
  /** Of a task that had ended before its stop. */
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

/** Who looks at the page. Asked once, or `again`. @throws ApiError */
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
  if (!Number.isNaN(date)) skewMs = Math.abs(date - Date.now()) > SKEW_COUNTS_MS ? date - Date.now() : 0;
  // Signed out meanwhile: whoever guards the page knows where to sign in again.
  if (answer.status === 401) location.reload();
  const body = (await answer.json().catch(() => ({}))) as Partial<Problem>;
  if (!answer.ok) throw new ApiError(body.detail ?? `The dashboard answered with ${answer.status}.`, answer.status, body);
  return body;
}
