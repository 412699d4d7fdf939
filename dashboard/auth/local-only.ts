import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import { FleetError } from '../../shared/errors.js';
import { isLoopback } from '../http/client-address.js';

const LOCAL_HOST = /^(?:localhost|[a-z0-9-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'];

/**
 * Passes only requests from this machine, for a dashboard without tokens. The Host header guards against DNS rebinding; requests
 * forwarded by a proxy may come from anywhere.
 * @throws FleetError `FORBIDDEN`
 */
export function localOnly(): RequestHandler {
  return (req, _res, next) => {
    const problem = problemOf(req);
    next(
      problem === null
        ? undefined
        : new FleetError(
            'FORBIDDEN',
            `No tokens are configured, so only local requests are accepted, but ${problem}. Set API_TOKENS to allow remote access.`,
          ),
    );
  };
}

function problemOf(req: IncomingMessage): string | null {
  if (!isLoopback(req.socket.remoteAddress)) return 'this request comes from a remote address';
  if (!LOCAL_HOST.test(req.headers.host ?? '')) return 'this request names a non-local host';
  return FORWARDED.some((name) => name in req.headers) ? 'this request came through a proxy' : null;
}
