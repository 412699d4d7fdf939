import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import { FleetError } from '../../shared/errors.js';
import { isLoopback } from '../client-address.js';

const LOCAL_HOST = /^(?:localhost|[a-z0-9-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'];

/**
 * For a dashboard without tokens: only this machine's own requests pass. A page of another site, whose name was made to point
 * here, names its own host; a request that a proxy passes on comes from who knows where. @throws FleetError `FORBIDDEN`
 */
export function localOnly(): RequestHandler {
  return (req, _res, next) => {
    const problem = problemOf(req);
    next(
      problem === null
        ? undefined
        : new FleetError(
            'FORBIDDEN',
            `No tokens are configured, so only requests of this machine are answered, and ${problem}. Set API_TOKENS to let others in.`,
          ),
    );
  };
}

function problemOf(req: IncomingMessage): string | null {
  if (!isLoopback(req.socket.remoteAddress)) return 'this one comes from elsewhere';
  if (!LOCAL_HOST.test(req.headers.host ?? '')) return 'this one is for another host';
  return FORWARDED.some((name) => name in req.headers) ? 'this one came through a proxy' : null;
}
