import type { IncomingMessage, ServerResponse } from 'node:http';
import { FleetError } from '../../shared/errors.js';
import { problemOfShape } from './body-shape.js';

export interface BodyLimits {
  /** In bytes. */
  readonly maxBytes: number;
  /** How long a body may take to arrive, in ms. */
  readonly timeoutMs: number;
}

/**
 * The JSON body of a request; `{}` for an empty one. A body that the app around the router has parsed already is taken as
 * it is.
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

/** What follows a refusal is read and dropped by Node; its server's own limits end a client that never ends. */
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
    const onGone = (): void => finish(() => reject(bad('it broke off')));
    const timer = setTimeout(() => {
      // Whoever sends so slowly gets no second request on this connection.
      res.setHeader('Connection', 'close');
      finish(() => reject(new FleetError('REQUEST_TIMEOUT', `Bad body: it did not arrive within ${timeoutMs} ms.`)));
    }, timeoutMs);
    req.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
  });
}

function parse(text: string, maxBytes: number): unknown {
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) throw tooLarge(null, maxBytes);
  const problem = problemOfShape(text);
  if (problem !== null) throw bad(problem);
  try {
    // A function that is called for each value takes ten times as long: only where there may be something for it.
    return MAY_NAME_PROTOTYPE.test(text) ? JSON.parse(text, refusePrototype) : JSON.parse(text);
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw bad('expected JSON', error);
  }
}

/** Also with characters that are written as escapes. */
const MAY_NAME_PROTOTYPE = /__proto__|\\u/;

/** `JSON.parse` makes an ordinary field of it; whoever copies that field by assignment would set a prototype. */
function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__')
    throw new FleetError('BAD_REQUEST', 'Bad body: no field may be called __proto__.', { details: { field: '__proto__' } });
  return value;
}

function tooLarge(req: IncomingMessage | null, maxBytes: number): FleetError {
  req?.resume();
  return new FleetError('BODY_TOO_LARGE', `Bad body: it is longer than ${maxBytes} bytes.`);
}

function bad(problem: string, cause?: unknown): FleetError {
  return new FleetError('BAD_REQUEST', `Bad body: ${problem}.`, { cause, details: { field: 'body' } });
}
