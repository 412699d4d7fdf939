import type { IncomingMessage, ServerResponse } from 'node:http';
import { FleetError } from '../../shared/errors.js';
import { problemOfShape } from './body-shape.js';

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
