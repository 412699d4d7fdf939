import type { RequestHandler } from 'express';
import helmet from 'helmet';
import { isSecure } from '../request.js';

/** Pages load only from their own origin and run no inline scripts. */
export const CONTENT_SECURITY_POLICY = {
  defaultSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'],
  baseUri: ["'none'"],
  objectSrc: ["'none'"],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
};

const YEAR_S = 31_536_000;

/** Sets security headers; HSTS only for requests over TLS. */
export function securityHeaders(): RequestHandler {
  const helmetHeaders = helmet({
    contentSecurityPolicy: { useDefaults: false, directives: CONTENT_SECURITY_POLICY },
    strictTransportSecurity: false,
    xFrameOptions: { action: 'deny' },
    // With no-referrer, browsers send `Origin: null` for the dashboard's own forms.
    referrerPolicy: { policy: 'same-origin' },
  });
  return (req, res, next) => {
    if (isSecure(req)) res.setHeader('Strict-Transport-Security', `max-age=${YEAR_S}`);
    helmetHeaders(req, res, next);
  };
}
