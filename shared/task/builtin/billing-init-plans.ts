import { z } from 'zod';
import { defineTask } from '../definition.js';
import { MAINTENANCE_QUEUE } from './maintenance-queue.js';

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

/**
 * Creates the billing plans of the templates in `p:billing:plans`: the default ones, with `include_annual` the annual
 * ones too, with `include_promo` the promotional ones. A plan that exists is skipped, or with `force` updated; it keeps
 * its `created_at`. Running it again, or twice at once, does no harm.
 *
 * Emits `{ plan, outcome }` for each, its progress is `{ done, total }`, and the output is how many plans of `total`
 * were `created`, `updated` and `skipped`.
 */
export const billingInitPlans = defineTask({
  name: 'billing.init-plans',
  queue: MAINTENANCE_QUEUE,
  input: billingInitPlansInput,
  output: billingInitPlansOutput,
  retention: { completed: { ageMs: 7 * 24 * 3_600_000, count: 100 }, failed: { ageMs: 30 * 24 * 3_600_000, count: 100 } },
});
