import type { RequestHandler } from 'express';
import helmet from 'helmet';
import { isSecure } from './client-address.js';

/** A page takes everything from where it came from, and nothing that is written into it is run. */
export const CONTENT_SECURITY_POLICY = {
  defaultSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'],
  baseUri: ["'none'"],
  objectSrc: ["'none'"],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
};

const YEAR_S = 31_536_000;

/** What browsers are to refuse. That they come over TLS only is asked for only where they came over TLS. */
export function securityHeaders(): RequestHandler {
  const helmetHeaders = helmet({
    contentSecurityPolicy: { useDefaults: false, directives: CONTENT_SECURITY_POLICY },
    strictTransportSecurity: false,
    xFrameOptions: { action: 'deny' },
    // With no-referrer a browser would give `null` for the origin of our own forms.
    referrerPolicy: { policy: 'same-origin' },
  });
  return (req, res, next) => {
    if (isSecure(req)) res.setHeader('Strict-Transport-Security', `max-age=${YEAR_S}`);
    helmetHeaders(req, res, next);
  };
}
