import type { RequestHandler } from 'express';
import { FleetError } from '../../shared/errors.js';
import { audit, isWrite, requestLine } from './audit.js';
import { type Role, hasRole, principalOf } from './principal.js';

/** Requires this role or a higher one. Refused writes are audited. @throws FleetError `FORBIDDEN` */
export function requireRole(least: Role): RequestHandler {
  return async (req, res, next) => {
    const principal = principalOf(res);
    if (hasRole(principal, least)) return next();
    if (isWrite(req.method)) await audit(res, { action: requestLine(req), outcome: { denied: 'FORBIDDEN' } });
    throw new FleetError('FORBIDDEN', `Requires the role ${least}; ${principal.name} has the role ${principal.role}.`);
  };
}
