import type { PlanTemplate } from '../../../shared/records/billing-plan.js';
import type { BillingInitPlansInput } from '../definitions.js';

/** The templates of all plans. Their positions leave room for derived plans. */
const DEFAULT_PLANS: readonly PlanTemplate[] = [
  {
    ...{ id: 'free', name: 'Free', price: 0, currency: 'USD', interval: 'month' },
    quotas: { seats: 1, messages_per_day: 50, documents: 10, storage_mb: 100 },
    features: ['Chat with the basic models'],
    ...{ active: true, order: 0, discount: null, promo: null },
  },
  {
    ...{ id: 'starter', name: 'Starter', price: 900, currency: 'USD', interval: 'month' },
    quotas: { seats: 1, messages_per_day: 500, documents: 200, storage_mb: 2_000 },
    features: ['Chat with all models', 'Document search'],
    ...{ active: true, order: 100, discount: null, promo: null },
  },
  {
    ...{ id: 'pro', name: 'Pro', price: 2_000, currency: 'USD', interval: 'month' },
    quotas: { seats: 1, messages_per_day: null, documents: 2_000, storage_mb: 20_000 },
    features: ['Chat with all models', 'Document search', 'Priority in the queue'],
    ...{ active: true, order: 200, discount: null, promo: null },
  },
  {
    ...{ id: 'team', name: 'Team', price: 7_500, currency: 'USD', interval: 'month' },
    quotas: { seats: 10, messages_per_day: null, documents: null, storage_mb: 200_000 },
    features: ['Chat with all models', 'Document search', 'Priority in the queue', 'Shared folders', 'Audit log'],
    ...{ active: true, order: 300, discount: null, promo: null },
  },
];

/** Twelve months for the price of 9.6. */
const ANNUAL = { months: 12, percent: 20 } as const;

interface Promotion {
  readonly id: string;
  /** The id of the promoted default plan. */
  readonly from: string;
  readonly name: string;
  readonly percent: number;
  readonly code: string;
  readonly ends_at: string;
}

const PROMOTIONS: readonly Promotion[] = [
  { id: 'starter-welcome', from: 'starter', name: 'Starter Welcome', percent: 50, code: 'WELCOME50', ends_at: '2027-06-30T23:59:59Z' },
  { id: 'pro-launch', from: 'pro', name: 'Pro Launch', percent: 30, code: 'LAUNCH30', ends_at: '2027-12-31T23:59:59Z' },
];

/**
 * Returns the plans that a run writes, in order: the default ones and, if asked for, the annual and promotional ones. A promotion that has
 * ended by `now` is included, but not active.
 */
export function planTemplates({ include_annual, include_promo }: Omit<BillingInitPlansInput, 'force'>, now: Date): PlanTemplate[] {
  const annual = include_annual ? DEFAULT_PLANS.filter(({ price }) => price > 0).map(annualOf) : [];
  const promotional = include_promo ? PROMOTIONS.map((promotion) => promotionalOf(promotion, now)) : [];
  return [...DEFAULT_PLANS, ...annual, ...promotional].toSorted((a, b) => a.order - b.order);
}

/** Returns the discounted price of `months`, in whole minor units, rounded half up. */
export function discounted(price: number, months: number, percent: number): number {
  return Math.round((price * months * (100 - percent)) / 100);
}

function annualOf(plan: PlanTemplate): PlanTemplate {
  return {
    ...plan,
    id: `${plan.id}-annual`,
    name: `${plan.name} Annual`,
    price: discounted(plan.price, ANNUAL.months, ANNUAL.percent),
    interval: 'year',
    order: plan.order + 10,
    discount: { from: plan.id, percent: ANNUAL.percent },
  };
}

function promotionalOf({ id, from, name, percent, code, ends_at }: Promotion, now: Date): PlanTemplate {
  const plan = DEFAULT_PLANS.find((one) => one.id === from);
  if (!plan) throw new Error(`The promotion ${id} is based on ${from}, and there is no such plan.`);
  return {
    ...{ ...plan, id, name },
    price: discounted(plan.price, 1, percent),
    // Subscribers keep the plan, so it is stored; it is only no longer offered.
    active: plan.active && now < new Date(ends_at),
    order: plan.order + 20,
    discount: { from, percent },
    promo: { code, ends_at },
  };
}
