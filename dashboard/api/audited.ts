import type { Response } from 'express';
import { isFleetError } from '../../shared/errors.js';
import { type AuditEntry, audit } from '../auth/audit.js';

/** What is recorded of a write beside its outcome. */
export type AuditSubject = Pick<AuditEntry, 'action' | 'target' | 'reason'>;

/** Does a write, which says in a word or two what came of it, and records it, whether it was done or refused. */
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
