import { UnrecoverableError } from 'bullmq';
import { type PlanTemplate, asInvalidPlans, checkPlanTemplate } from '../../shared/billing/plan.js';
import { isFleetError, messageOf } from '../../shared/errors.js';
import { type BillingPlanLine, billingInitPlans } from '../../shared/task/builtin/index.js';
import { type TaskHandler, defineHandler } from '../../shared/task/handler.js';
import { planTemplates } from '../billing/plan-templates.js';
import { type WrittenPlan, writePlan } from '../billing/plan-writer.js';
import type { FleetResources } from '../fleet-resources.js';

export interface BillingInitPlansOptions {
  /** Default: what this package has. */
  readonly templatesOf?: typeof planTemplates;
}

/**
 * The handler of `billing.init-plans`. It goes from plan to plan, and ends with the first one that it can do nothing
 * about: the error names it. Every plan before is stored, and another run goes on from there.
 *
 * What another attempt would not change (a template or a stored plan that cannot be understood, a key of another type)
 * throws `UnrecoverableError`; what Redis refuses otherwise throws an Error, and is retried.
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

/** @throws UnrecoverableError naming the template and the field, if one of them is no plan */
function checked(templates: readonly PlanTemplate[]): PlanTemplate[] {
  try {
    return templates.map(checkPlanTemplate);
  } catch (error) {
    throw lasting(messageOf(error), error);
  }
}

function failureOf(id: string, key: string, thrown: unknown): Error {
  const error = asInvalidPlans(key, thrown);
  if (!isFleetError(error, 'INVALID_PLAN')) return new Error(`Plan "${id}": ${messageOf(error)}`, { cause: error });
  const { problem } = error.details;
  const what =
    typeof problem === 'string' ? `what is stored cannot be understood (${problem}); a run with force replaces it` : error.message;
  return lasting(`Plan "${id}": ${what}`, error);
}

/** An error that another attempt would meet again. */
function lasting(message: string, cause: unknown): Error {
  return Object.assign(new UnrecoverableError(message), { cause });
}
