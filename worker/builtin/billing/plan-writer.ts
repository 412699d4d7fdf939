import { type Plan, type PlanTemplate, parsePlan, timeOrNull } from '../../../shared/records/billing-plan.js';
import type { Store } from '../../../shared/store.js';
import type { BillingPlanLine } from '../definitions.js';

/** The outcome of a write, and the stored plan. */
export interface WrittenPlan {
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
export async function writePlan(
  { redis, keys, clock }: Store,
  template: PlanTemplate,
  force: boolean,
  signal: AbortSignal,
): Promise<WrittenPlan> {
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
