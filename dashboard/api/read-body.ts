import type { IncomingMessage, ServerResponse } from 'node:http';
import { FleetError } from '../../shared/errors.js';

/** Maximum nesting of objects and arrays. */
const MAX_DEPTH = 100;
/** Maximum members and elements in total: they take some tens of ms to parse, check and write. */
const MAX_VALUES = 100_000;
/** Maximum members of one object: beyond that, engines switch to a slower representation. */
const MAX_MEMBERS = 10_000;

const [QUOTE, BACKSLASH, COMMA, COLON, OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [0x22, 0x5c, 0x2c, 0x3a, 0x5b, 0x5d, 0x7b, 0x7d] as const;

/**
 * Returns which limit a JSON text exceeds, or null. Checked before parsing: a body within its byte limit could still block the event
 * loop for a second. Ignores syntax errors.
 */
export function problemOfShape(text: string): string | null {
  /** Member counts of the open objects and arrays, outermost first. */
  const members: number[] = [];
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at + 1);
        break;
      case OPEN:
      case OPEN_LIST:
        if (members.push(0) > MAX_DEPTH) return `expected at most ${MAX_DEPTH} levels of objects and arrays`;
        values += 1;
        break;
      case CLOSE:
      case CLOSE_LIST:
        members.pop();
        break;
      case COLON:
        if (count(members) > MAX_MEMBERS) return `expected at most ${MAX_MEMBERS} fields in one object`;
        break;
      case COMMA:
        values += 1;
        break;
    }
    if (values > MAX_VALUES) return `expected at most ${MAX_VALUES} values`;
  }
  return null;
}

function count(members: number[]): number {
  const last = members.length - 1;
  return last < 0 ? 0 : (members[last] = (members[last] as number) + 1);
}

/** Returns the end of the string that starts before `from`. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return text.length;
}

export interface BodyLimits {
  /** Maximum size, in bytes. */
  readonly maxBytes: number;
  /** Timeout for receiving the body, in ms. */
  readonly timeoutMs: number;
}

/**
 * Reads the JSON body of a request; `{}` for an empty one. A body already parsed by the surrounding app is used as it is.
 * @throws FleetError `BODY_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE`, `REQUEST_TIMEOUT`, `BAD_REQUEST`
 */
export async function readBody(req: IncomingMessage, res: ServerResponse, limits: BodyLimits): Promise<unknown> {
  const { body: parsed } = req as { body?: unknown };
  if (parsed !== undefined) return parse(JSON.stringify(parsed), limits.maxBytes);
  if (isEmpty(req)) return {};
  checkType(req);
  if (Number(req.headers['content-length'] ?? 0) > limits.maxBytes) throw tooLarge(req, limits.maxBytes);
  return parse(await readText(req, res, limits), limits.maxBytes);
}

function isEmpty({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
}

function checkType({ headers }: IncomingMessage): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const encoding = headers['content-encoding'] ?? 'identity';
  if (/^application\/([a-z0-9.+-]+\+)?json$/.test(type) && parameters.every(isUtf8) && encoding.toLowerCase() === 'identity') return;
  throw new FleetError('UNSUPPORTED_MEDIA_TYPE', 'Bad body: expected Content-Type: application/json, uncompressed, in UTF-8.', {
    details: { field: 'Content-Type' },
  });
}

function isUtf8(parameter: string): boolean {
  return !parameter.startsWith('charset=') || /^charset="?utf-?8"?$/.test(parameter);
}

/** Reads the body as text. After a refusal Node discards the rest; the server's timeouts end a client that keeps sending. */
function readText(req: IncomingMessage, res: ServerResponse, { maxBytes, timeoutMs }: BodyLimits): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      req.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
      settle();
    };
    const onData = (part: Buffer): void => {
      parts.push(part);
      if ((bytes += part.length) > maxBytes) finish(() => reject(tooLarge(req, maxBytes)));
    };
    const onEnd = (): void =>
      finish(() => {
        try {
          resolve(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)));
        } catch (error) {
          reject(bad('expected UTF-8', error));
        }
      });
    const onGone = (): void => finish(() => reject(bad('it ended early')));
    const timer = setTimeout(() => {
      // A client this slow may not reuse the connection.
      res.setHeader('Connection', 'close');
      finish(() => reject(new FleetError('REQUEST_TIMEOUT', `Bad body: not received within ${timeoutMs} ms.`)));
    }, timeoutMs);
    req.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
  });
}

function parse(text: string, maxBytes: number): unknown {
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) throw tooLarge(null, maxBytes);
  const problem = problemOfShape(text);
  if (problem !== null) throw bad(problem);
  try {
    // A reviver makes parsing ten times slower, so it is used only if the text may contain `__proto__`.
    return MAY_NAME_PROTOTYPE.test(text) ? JSON.parse(text, refusePrototype) : JSON.parse(text);
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw bad('expected JSON', error);
  }
}

/** Escapes may spell `__proto__` too. */
const MAY_NAME_PROTOTYPE = /__proto__|\\u/;

/** Refuses `__proto__`: `JSON.parse` creates an ordinary field, but copying it by assignment would set a prototype. */
function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__')
    throw new FleetError('BAD_REQUEST', 'Bad body: expected no field named __proto__.', { details: { field: '__proto__' } });
  return value;
}

function tooLarge(req: IncomingMessage | null, maxBytes: number): FleetError {
  req?.resume();
  return new FleetError('BODY_TOO_LARGE', `Bad body: expected at most ${maxBytes} bytes.`);
}

function bad(problem: string, cause?: unknown): FleetError {
  return new FleetError('BAD_REQUEST', `Bad body: ${problem}.`, { cause, details: { field: 'body' } });
}
