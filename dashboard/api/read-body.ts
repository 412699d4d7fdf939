import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'express';
import { FleetError } from '../../shared/errors.js';

export interface BodyLimits {
  /** Maximum size, in bytes. */
  readonly maxBytes: number;
  /** Timeout for receiving the body, in ms. */
  readonly timeoutMs: number;
}

/**
 * Reads the JSON body of a request; `{}` for an empty one. A body already parsed by the surrounding app is checked too.
 * @throws TypeError if the surrounding app has read the body and kept it elsewhere
 * @throws FleetError `BODY_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE`, `REQUEST_TIMEOUT`, `BAD_REQUEST`
 */
export async function readBody(req: IncomingMessage & { body?: unknown }, res: ServerResponse, limits: BodyLimits): Promise<unknown> {
  if (req.body !== undefined) return checkParsed(req.body, limits);
  if (isEmpty(req)) return {};
  if (req.readableEnded) throw new TypeError('The surrounding app has read the request body: mount the dashboard before its body parser.');
  if (!isJson(req)) throw notJson();
  if (Number(req.headers['content-length'] ?? 0) > limits.maxBytes) throw tooLarge(limits);
  await receive(req, res, limits);
  return req.body;
}

function checkParsed(body: unknown, limits: BodyLimits): unknown {
  const text = Buffer.from(JSON.stringify(body));
  if (text.length > limits.maxBytes) throw tooLarge(limits);
  checkText(text);
  return body;
}

function isEmpty({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
}

/** Returns whether the body is JSON in UTF-8, the only charset of JSON; `express.json` would accept UTF-16 too. */
function isJson({ headers: { 'content-type': given = '' } }: IncomingMessage): boolean {
  const [type = '', ...parameters] = given.toLowerCase().split(';');
  const isUtf8 = (parameter: string): boolean => !/^\s*charset=/.test(parameter) || /^\s*charset="?utf-?8"?\s*$/.test(parameter);
  return /^\s*application\/([a-z0-9.+-]+\+)?json\s*$/.test(type) && parameters.every(isUtf8);
}

/** Parses the body into `req.body`. A refusal comes at once: `express.json` would first wait for the rest of the body. */
function receive(req: IncomingMessage, res: ServerResponse, limits: BodyLimits): Promise<void> {
  // Checked by `isJson`: `express.json` knows the charset under its registered name only.
  req.headers['content-type'] = 'application/json';
  const parse = json({ limit: limits.maxBytes, inflate: false, strict: false, verify: (_req, _res, text) => checkText(text) });
  return new Promise((resolve, reject) => {
    let bytes = 0;
    const countBytes = (part: Buffer): void => {
      if ((bytes += part.length) > limits.maxBytes) finish(tooLarge(limits));
    };
    const timer = setTimeout(() => {
      // A client this slow may not reuse the connection.
      res.setHeader('Connection', 'close');
      finish(new FleetError('REQUEST_TIMEOUT', `Bad body: not received within ${limits.timeoutMs} ms.`));
    }, limits.timeoutMs);
    const finish = (error?: unknown): void => {
      clearTimeout(timer);
      req.off('data', countBytes);
      if (error === undefined) resolve();
      else reject(explain(error));
    };
    req.on('data', countBytes);
    parse(req, res, finish);
  });
}

/** Translates an error of `express.json`. @see https://www.npmjs.com/package/body-parser#errors */
function explain(error: unknown): unknown {
  if (error instanceof FleetError) return error;
  switch ((error as { type?: unknown }).type) {
    case 'encoding.unsupported':
    case 'charset.unsupported':
      return notJson();
    case 'entity.parse.failed':
      return bad('expected JSON', error);
    case 'request.aborted':
    case 'request.size.invalid':
      return bad('it ended early', error);
    default:
      return error;
  }
}

/** Checks what `express.json` does not, before it parses the text. @throws FleetError `BAD_REQUEST` */
function checkText(bytes: Buffer): void {
  const text = decode(bytes);
  const problem = text === '' ? 'expected JSON' : problemOfShape(text);
  if (problem !== null) throw bad(problem);
  // Escapes may spell `__proto__` too. A reviver makes parsing ten times slower, so only suspicious texts are parsed with it.
  if (!/__proto__|\\u/.test(text)) return;
  try {
    JSON.parse(text, refusePrototype);
  } catch (error) {
    throw error instanceof FleetError ? error : bad('expected JSON', error);
  }
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw bad('expected UTF-8', error);
  }
}

/** Refuses `__proto__`: `JSON.parse` creates an ordinary field, but copying it by assignment would set a prototype. */
function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__')
    throw new FleetError('BAD_REQUEST', 'Bad body: expected no field named __proto__.', { details: { field: '__proto__' } });
  return value;
}

function tooLarge({ maxBytes }: BodyLimits): FleetError {
  return new FleetError('BODY_TOO_LARGE', `Bad body: expected at most ${maxBytes} bytes.`);
}

function notJson(): FleetError {
  return new FleetError('UNSUPPORTED_MEDIA_TYPE', 'Bad body: expected Content-Type: application/json, uncompressed, in UTF-8.', {
    details: { field: 'Content-Type' },
  });
}

function bad(problem: string, cause?: unknown): FleetError {
  return new FleetError('BAD_REQUEST', `Bad body: ${problem}.`, { cause, details: { field: 'body' } });
}

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
