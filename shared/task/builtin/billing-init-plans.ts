import { z } from 'zod';
import { defineTask } from '../definition.js';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from './maintenance-queue.js';

const count = z.int().min(0);

const billingInitPlansInput = z.strictObject({
  include_annual: z.boolean().default(false),
  include_promo: z.boolean().default(false),
  force: z.boolean().default(false),
});

const billingInitPlansOutput = z.strictObject({ created: count, updated: count, skipped: count, total: count });

/** What the handler of {@link billingInitPlans} gets. */
export type BillingInitPlansInput = z.output<typeof billingInitPlansInput>;
export type BillingInitPlansOutput = z.output<typeof billingInitPlansOutput>;

/** What the handler emits for each plan: what was done about it, and how the plan is stored now. */
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
 * Creates the billing plans of the templates in `p:billing:plans`: the default ones, with `include_annual` the annual
 * ones too, with `include_promo` the promotional ones. A plan that exists is skipped, or with `force` updated; it keeps
 * its `created_at`. Running it again, or twice at once, does no harm.
 *
 * Emits a {@link BillingPlanLine} for each, its progress is `{ done, total }`, and the output is how many plans of
 * `total` the last attempt `created`, `updated` and `skipped`. Five attempts: what Redis refuses may pass.
 */
export const billingInitPlans = defineTask({
  name: 'billing.init-plans',
  queue: MAINTENANCE_QUEUE,
  input: billingInitPlansInput,
  output: billingInitPlansOutput,
  retry: { attempts: 5, backoff: { type: 'exponential', delayMs: 1_000, jitter: 0.2 } },
  retention: MAINTENANCE_RETENTION,
});
