import { type Plan, type PlanTemplate, parsePlan, timeOrNull } from '../../shared/billing/plan.js';
import type { Store } from '../../shared/store.js';
import type { BillingPlanLine } from '../../shared/task/builtin/index.js';

/** What was done about a plan, and the plan as it is stored now. */
export interface WrittenPlan {
  readonly outcome: BillingPlanLine['outcome'];
  readonly plan: Plan;
}

/**
 * Stores a plan if it is absent; with `force`, also in place of what is stored. That keeps its `created_at`, where it can
 * be read, and the fields that others have added.
 *
 * A write whose answer was lost is sent again, and finds what it wrote itself: then the plan counts as skipped. Nobody
 * counts a plan as created that somebody else has created.
 * @throws FleetError `INVALID_PLAN` if what is stored cannot be understood, and is not replaced
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

/** All fields of what is stored; none if it is no object. */
function fieldsOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}
