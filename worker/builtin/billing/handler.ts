import { UnrecoverableError } from 'bullmq';
import { type PlanTemplate, asInvalidPlans, checkPlanTemplate } from '../../../shared/records/billing-plan.js';
import { isFleetError, messageOf } from '../../../shared/errors.js';
import { type BillingPlanLine, billingInitPlans } from '../definitions.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { planTemplates } from './plan-templates.js';
import { type WrittenPlan, writePlan } from './plan-writer.js';
import type { FleetResources } from '../fleet-resources.js';

export interface BillingInitPlansOptions {
  /** Default: this package's templates. */
  readonly templatesOf?: typeof planTemplates;
}

/**
 * Creates the handler of `billing.init-plans`. It writes plan by plan and stops at the first one that fails, which the error names. Earlier
 * plans stay stored; another run continues from there.
 *
 * Errors that another attempt would repeat (an invalid template or stored plan, a key of another type) are `UnrecoverableError`s; other
 * Redis errors are retried.
 */
export function billingInitPlansHandler(
  { store, loggers }: FleetResources,
  { templatesOf = planTemplates }: BillingInitPlansOptions = {},
): TaskHandler {
  const logger = loggers('billing');
  return defineHandler(billingInitPlans, async ({ input, signal, emit, progress }) => {
    const templates = checked(templatesOf(input, new Date(store.clock.now())));
    const total = templates.length;
    const counts = { created: 0, updated: 0, skipped: 0 };
    progress({ done: 0, total });
    for (const [index, template] of templates.entries()) {
      const written = await writePlan(store, template, input.force, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw failureOf(template.id, store.keys.plans, error);
      });
      counts[written.outcome] += 1;
      const line = lineOf(written);
      logger[written.outcome === 'skipped' ? 'debug' : 'info'](line, `Billing plan ${written.outcome}`);
      emit(line);
      progress({ done: index + 1, total });
    }
    logger.info({ ...counts, total }, 'Billing plans initialized');
    return { ...counts, total };
  });
}

function lineOf({ outcome, plan: { id, name, price, currency, interval, active } }: WrittenPlan): BillingPlanLine {
  return { plan: id, outcome, name, price, currency, interval, active };
}

/** @throws UnrecoverableError with the template and the field, if a template is invalid */
function checked(templates: readonly PlanTemplate[]): PlanTemplate[] {
  try {
    return templates.map(checkPlanTemplate);
  } catch (error) {
    throw final(messageOf(error), error);
  }
}

function failureOf(id: string, key: string, thrown: unknown): Error {
  const error = asInvalidPlans(key, thrown);
  if (!isFleetError(error, 'INVALID_PLAN')) return new Error(`Plan "${id}": ${messageOf(error)}`, { cause: error });
  const { problem } = error.details;
  const what = typeof problem === 'string' ? `the stored plan is invalid (${problem}); a run with force replaces it` : error.message;
  return final(`Plan "${id}": ${what}`, error);
}

/** Returns an error that is not retried. */
function final(message: string, cause: unknown): Error {
  return Object.assign(new UnrecoverableError(message), { cause });
}
