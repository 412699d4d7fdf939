import type { ErrorRequestHandler, Request, Response } from 'express';
import { isFleetError } from '../../shared/errors.js';
import { addressOf, auditorOf, requestIdOf } from '../http/request.js';
import type { AuditEntry, AuditName } from './auditor.js';
import { findPrincipal } from './principal.js';

export type { AuditEntry } from './auditor.js';

/** Request data for the audit entry. */
interface AuditLocals {
  item?: string | null;
  claimant?: AuditName;
  audited?: true;
}

/** Records a write; every route that changes state calls it. Never rejects. */
export function audit(res: Response, entry: AuditEntry): Promise<void> {
  const locals = res.locals as AuditLocals;
  locals.audited = true;
  const principal = findPrincipal(res) ?? locals.claimant ?? null;
  return auditorOf(res).record(
    { requestId: requestIdOf(res), address: addressOf(res.req), principal },
    { item: locals.item ?? null, ...entry },
  );
}

/** Sets the item of this request's audit entry, once the caller is known to see it. */
export function noteItem({ locals }: Response, item: string | null): void {
  (locals as AuditLocals).item = item;
}

/** Sets the caller's name for the audit of a request refused before it has a principal. */
export function noteClaimant({ locals }: Response, claimant: AuditName): void {
  (locals as AuditLocals).claimant = claimant;
}

/**
 * Records a write refused before its route ran: unreadable body, wrong method, rate limit. Mount it before the error handler.
 * @param action default: the method and path
 */
export function auditRefusals(action?: string): ErrorRequestHandler {
  return async (error: unknown, req, res, next) => {
    const { audited } = res.locals as AuditLocals;
    if (isWrite(req.method) && !audited)
      await audit(res, { action: action ?? requestLine(req), outcome: { denied: isFleetError(error) ? error.code : 'INTERNAL_ERROR' } });
    next(error);
  };
}

/** Returns whether a request with this method may change state. */
export function isWrite(method: string | undefined): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';
}

/** Returns the request's method and path without the query: `POST /api/v1/tasks`. */
export function requestLine({ method, baseUrl, url }: Request): string {
  return `${method} ${baseUrl}${url.replace(/\?.*/s, '')}`;
}
