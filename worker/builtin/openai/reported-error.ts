/** An error reported in a server's answer. */
export interface ReportedError {
  /** The server's description of the error; null if it has none. */
  readonly words: string | null;
  /** The error's HTTP status, 400 to 599, if it has one. */
  readonly status: number | null;
  /** Codes such as `insufficient_quota` or `invalid_request_error`. */
  readonly codes: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

/** Fields that describe an error, the most informative first. */
const WORDS = ['message', 'msg', 'detail', 'text', 'description', 'reason', 'error'] as const;
const STATUSES = ['status', 'status_code', 'code', 'error_code'] as const;
const CODES = ['code', 'type', 'status', 'error_code'] as const;
/** Deepest nesting searched: servers wrap the error of another server once or twice. */
const MAX_DEPTH = 4;

/**
 * Finds the error in an answer or in one event of a stream; null if there is none. The forms: `{ error }` of OpenAI, `{ object: 'error',
 * message }` of vLLM, `{ error_code, text }` of FastChat, `{ detail }` of FastAPI, `choices[0].error`, and each of them alone in an array.
 * An empty `error` (`null`, `false`, `{}`) is none.
 */
export function findError(answer: unknown): ReportedError | null {
  if (Array.isArray(answer)) return answer.length === 1 ? findError(answer[0]) : null;
  if (!isFields(answer)) return null;
  const choices = Array.isArray(answer['choices']) ? (answer['choices'] as unknown[]) : null;
  for (const error of [
    answer['error'],
    answer['errors'],
    ...(choices ?? []).map((choice) => (isFields(choice) ? choice['error'] : null)),
  ]) {
    if (!isNothing(error)) return describeError(error, answer);
  }
  if (answer['object'] === 'error' || answer['type'] === 'error' || !isNothing(answer['error_code'])) return describeError(answer);
  const isChunk = choices !== null || isFields(answer['usage']);
  if (isChunk || ['detail', 'message', 'msg'].every((field) => isNothing(answer[field]))) return null;
  return describeError(answer);
}

/** Describes a value known to be an error. `around` is the answer that contains it. */
export function describeError(error: unknown, around: Fields = {}): ReportedError {
  const parts = [...nested(error), around];
  const status = parts.flatMap((part) => STATUSES.map((field) => statusOf(part[field]))).find((found) => found !== null) ?? null;
  const codes = parts
    .flatMap((part) => CODES.map((field) => part[field]))
    .filter((code) => typeof code === 'string' || typeof code === 'number');
  const words = wordsOf(error) ?? WORDS.map((field) => textOf(around[field])).find((text) => text !== null) ?? null;
  return { words, status, codes: codes.map(String) };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the nested objects of an error, from the outside in. */
function nested(error: unknown): Fields[] {
  const found: Fields[] = [];
  for (let part = error; isFields(part) && found.length < MAX_DEPTH; part = part['error']) found.push(part);
  return found;
}

function wordsOf(error: unknown, depth = MAX_DEPTH): string | null {
  const text = textOf(error);
  if (text !== null || depth === 0) return text;
  if (isFields(error)) {
    for (const field of WORDS) {
      const words = wordsOf(error[field], depth - 1);
      if (words !== null) return words;
    }
  }
  return typeof error === 'object' && error !== null && !isNothing(error) ? asJson(error) : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

function asJson(value: unknown): string | null {
  try {
    return JSON.stringify(value);
  } catch {
    return null; // nested deeper than the stack
  }
}

/** FastChat's codes append two digits to the HTTP status: 40303, 42901, 50002. */
function statusOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{3,5}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number)) return null;
  const status = number >= 10_000 ? Math.floor(number / 100) : number;
  return status >= 400 && status <= 599 ? status : null;
}

function isNothing(value: unknown, depth = MAX_DEPTH): boolean {
  if (value === undefined || value === null || value === false || value === 0) return true;
  if (typeof value === 'string') return value.trim() === '';
  if (typeof value !== 'object') return false;
  return depth > 0 && Object.values(value).every((part) => isNothing(part, depth - 1));
}
