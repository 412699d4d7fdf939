import type { Response } from 'express';
import { isFleetError } from '../../shared/errors.js';
import { type AuditEntry, audit } from '../auth/audit.js';

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
