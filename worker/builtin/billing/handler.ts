import { UnrecoverableError } from 'bullmq';
import { isFleetError, messageOf } from '../../../shared/errors.js';
import {
  type Plan,
  type PlanTemplate,
  asInvalidPlans,
  checkPlanTemplate,
  parsePlan,
  timeOrNull,
} from '../../../shared/records/billing-plan.js';
import type { Store } from '../../../shared/store.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { type BillingPlanLine, billingInitPlans } from '../definitions.js';
import type { FleetResources } from '../fleet-resources.js';
import { planTemplates } from './plan-templates.js';

interface BillingInitPlansOptions {
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

/** The outcome of a write, and the stored plan. */
interface WrittenPlan {
  readonly outcome: BillingPlanLine['outcome'];
  readonly plan: Plan;
}

/**
 * Stores a plan if it is absent or, with `force`, replaces the stored one but keeps its `created_at`, where readable, and the fields that
 * others have added.
 *
 * A write whose answer was lost is sent again and finds its own plan: the plan then counts as skipped. A plan never counts as created if
 * someone else created it.
 * @throws FleetError `INVALID_PLAN` if the stored plan is invalid and not replaced
 */
async function writePlan({ redis, keys, clock }: Store, template: PlanTemplate, force: boolean, signal: AbortSignal): Promise<WrittenPlan> {
  const { id } = template;
  for (;;) {
    signal.throwIfAborted();
    const stored = await redis.hgetBuffer(keys.plans, id);
    if (stored !== null && !force) return { outcome: 'skipped', plan: parsePlan(id, stored.toString()) };
    const text = storedText(template, stored === null ? {} : fieldsOf(stored.toString()), new Date(clock.now()).toISOString());
    if (await redis.replaceField(keys.plans, id, stored ?? '', text))
      return { outcome: stored === null ? 'created' : 'updated', plan: parsePlan(id, text) };
  }
}

function storedText(template: PlanTemplate, kept: Readonly<Record<string, unknown>>, now: string): string {
  return JSON.stringify({ ...kept, ...template, created_at: timeOrNull(kept['created_at']) ?? now, updated_at: now });
}

/** Returns the fields of the stored plan; none if it is not an object. */
function fieldsOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
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
