import type { ErrorRequestHandler, Request, Response } from 'express';
import { isFleetError } from '../../shared/errors.js';
import { addressOf } from '../client-address.js';
import { auditorOf, requestIdOf } from '../request-context.js';
import type { AuditEntry, AuditName } from './auditor.js';
import { findPrincipal } from './principal.js';

export type { AuditEntry } from './auditor.js';

/** What is known of a request for its entry. */
interface AuditLocals {
  item?: string | null;
  claimant?: AuditName;
  audited?: true;
}

/** Records a write of this request: every route that changes something calls it. Never rejects. */
export function audit(res: Response, entry: AuditEntry): Promise<void> {
  const locals = res.locals as AuditLocals;
  locals.audited = true;
  const principal = findPrincipal(res) ?? locals.claimant ?? null;
  return auditorOf(res).record(
    { requestId: requestIdOf(res), address: addressOf(res.req), principal },
    { item: locals.item ?? null, ...entry },
  );
}

/** Says which item this request's write is about, once its caller is known to see it. */
export function noteItem({ locals }: Response, item: string | null): void {
  (locals as AuditLocals).item = item;
}

/** Says who a request is from that is refused before it has a principal. */
export function noteClaimant({ locals }: Response, claimant: AuditName): void {
  (locals as AuditLocals).claimant = claimant;
}

/**
 * Records a write that was refused before a route could: its body cannot be read, its path does not know the method, there are too many …
 * Stands in front of what answers errors.
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

/** Whether a request of this method may change something. */
export function isWrite(method: string | undefined): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';
}

/** `POST /api/v1/tasks`, without the query. */
export function requestLine({ method, baseUrl, url }: Request): string {
  return `${method} ${baseUrl}${url.replace(/\?.*/s, '')}`;
}
