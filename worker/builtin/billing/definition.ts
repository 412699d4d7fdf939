import { z } from 'zod';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from '../../../shared/schedule/schedule.js';
import { defineTask } from '../../../shared/task/definition.js';

const count = z.int().min(0);

const billingInitPlansInput = z.strictObject({
  include_annual: z.boolean().default(false),
  include_promo: z.boolean().default(false),
  force: z.boolean().default(false),
});

const billingInitPlansOutput = z.strictObject({ created: count, updated: count, skipped: count, total: count });

/** The parsed input of {@link billingInitPlans}. */
export type BillingInitPlansInput = z.output<typeof billingInitPlansInput>;
export type BillingInitPlansOutput = z.output<typeof billingInitPlansOutput>;

/** The chunk emitted for each plan: the outcome, and the plan as stored. */
export const billingPlanLine = z.object({
  plan: z.string(),
  outcome: z.enum(['created', 'updated', 'skipped']),
  name: z.string(),
  /** In minor units of the currency. */
  price: count,
  currency: z.string().regex(/^[A-Z]{3}$/),
  interval: z.enum(['month', 'year']),
  active: z.boolean(),
});

export type BillingPlanLine = z.output<typeof billingPlanLine>;

/**
 * Creates billing plans in `p:billing:plans` from templates: the default plans, with `include_annual` also the annual ones, with
 * `include_promo` also the promotional ones. An existing plan is skipped, or updated with `force`; it keeps its `created_at`.
 * Running it again, or concurrently, is safe.
 *
 * Emits a {@link BillingPlanLine} per plan; the progress is `{ done, total }`, and the output counts the plans that the last attempt
 * `created`, `updated` and `skipped` out of `total`. Five attempts, since Redis may refuse writes temporarily.
 */
export const billingInitPlans = defineTask({
  name: 'billing.init-plans',
  queue: MAINTENANCE_QUEUE,
  input: billingInitPlansInput,
  output: billingInitPlansOutput,
  retry: { attempts: 5, backoff: { type: 'exponential', delayMs: 1_000, jitter: 0.2 } },
  retention: MAINTENANCE_RETENTION,
});
