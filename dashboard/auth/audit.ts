import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { isFleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { MAX_AUDIT_ENTRIES, auditText, auditWords } from '../../shared/records/audit-entry.js';
import type { Store } from '../../shared/store.js';
import { answered } from '../http/reach-redis.js';
import { addressOf, requestIdOf } from '../http/request.js';
import { type Principal, type Role, findPrincipal } from './principal.js';

/** A write and its outcome. */
interface AuditEntry {
  /** The operation: `task.stop`, `schedule.run`, `sign-in` … */
  readonly action: string;
  /** The task, item or schedule; null for none. */
  readonly target?: string | null;
  /** The write's item, null if none or unknown; it makes the entry visible to admins with item patterns. */
  readonly item?: string | null;
  /** The reason given by the caller; null for none. */
  readonly reason?: string | null;
  /** Allowed, with a short result (`cancelled`, `3 tasks`), or denied, with the error code. */
  readonly outcome: { readonly allowed: string } | { readonly denied: string };
}

/** A caller with a known name but possibly no valid role, as with a JWT whose role is unknown here. */
type AuditName = Pick<Principal, 'name' | 'issuer' | 'via'> & { readonly role: Role | null };

/** The caller of a write. */
interface AuditCaller {
  readonly requestId: string | null;
  readonly address: string;
  /** Null for an unauthenticated caller. */
  readonly principal: AuditName | null;
}

const MAX_DENIED_ENTRIES = 2_000;
/** Maximum entries of unauthenticated callers per minute, so that they cannot flood the log. */
const ANONYMOUS_PER_MINUTE = 60;
/** Keeps responses within two seconds even if Redis hangs. */
const LIMIT_MS = 250;

/** Records every write, in a Redis stream and in the log. */
export class Auditor {
  #minute = 0;
  #anonymous = 0;

  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
  ) {}

  /** Records a write. Never rejects: the write has happened, and the log has it even if Redis does not. */
  async record(
    { principal, requestId, address }: AuditCaller,
    { action, target = null, item = null, reason = null, outcome }: AuditEntry,
  ): Promise<void> {
    const denied = 'denied' in outcome;
    if (principal === null && !this.#mayAdd()) return;
    const fields = {
      request_id: requestId,
      name: principal?.name ?? null,
      issuer: principal?.issuer ?? null,
      role: principal?.role ?? null,
      via: principal?.via ?? null,
      address,
      action: auditText(action),
      target: auditText(target),
      item,
      reason: auditText(reason),
      outcome: denied ? 'denied' : 'allowed',
      result: auditText(denied ? outcome.denied : outcome.allowed),
    };
    this.logger[denied ? 'warn' : 'info'](fields, denied ? 'Write denied' : 'Write allowed');
    try {
      const { redis, keys, clock } = this.store;
      const adding = redis.xadd(
        denied ? keys.auditDenied : keys.audit,
        'MAXLEN',
        '~',
        denied ? MAX_DENIED_ENTRIES : MAX_AUDIT_ENTRIES,
        '*',
        ...auditWords(clock.now(), fields),
      );
      await answered(LIMIT_MS, adding);
    } catch (error) {
      this.logger.error({ error, request_id: requestId }, 'Could not add a write to the audit stream; only the log has it');
    }
  }

  #mayAdd(): boolean {
    const minute = Math.floor(Date.now() / 60_000);
    if (minute !== this.#minute) {
      if (this.#anonymous > ANONYMOUS_PER_MINUTE)
        this.logger.warn(
          { count: this.#anonymous - ANONYMOUS_PER_MINUTE },
          'Too many unauthenticated writes; some denials were not recorded',
        );
      this.#minute = minute;
      this.#anonymous = 0;
    }
    this.#anonymous += 1;
    return this.#anonymous <= ANONYMOUS_PER_MINUTE;
  }
}

/** Request data for the audit entry. */
interface AuditLocals {
  auditor?: Auditor;
  item?: string | null;
  claimant?: AuditName;
  audited?: true;
}

/** Makes the auditor available to all routes. */
export function auditWith(auditor: Auditor): RequestHandler {
  return (_req, res, next) => {
    (res.locals as AuditLocals).auditor = auditor;
    next();
  };
}

/** Records a write; every route that changes state calls it. Never rejects. */
export function audit(res: Response, entry: AuditEntry): Promise<void> {
  const locals = res.locals as AuditLocals;
  locals.audited = true;
  const principal = findPrincipal(res) ?? locals.claimant ?? null;
  const { auditor } = locals;
  if (!auditor) throw new Error('This route is not behind auditWith.');
  return auditor.record({ requestId: requestIdOf(res), address: addressOf(res.req), principal }, { item: locals.item ?? null, ...entry });
}

/** The audit entry of a write without its outcome. */
export type AuditSubject = Pick<AuditEntry, 'action' | 'target' | 'reason'>;

/** Runs a write and records its outcome, or its refusal. `work` resolves with a short description of the outcome. */
export async function audited<Outcome extends string>(
  res: Response,
  subject: AuditSubject,
  work: () => Promise<Outcome>,
): Promise<Outcome> {
  try {
    const outcome = await work();
    await audit(res, { ...subject, outcome: { allowed: outcome } });
    return outcome;
  } catch (error) {
    await audit(res, { ...subject, outcome: { denied: isFleetError(error) ? error.code : 'INTERNAL_ERROR' } });
    throw error;
  }
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
    if (isWrite(req.method) && !(res.locals as AuditLocals).audited)
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
