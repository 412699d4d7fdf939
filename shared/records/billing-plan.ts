import { z } from 'zod';
import { FleetError } from '../errors.js';
import { isName, quote } from '../keys.js';
import { issuesOf } from '../task/definition.js';

const planId = z.string().refine(isName, 'expected letters, digits and . _ - (at most 64)');
const time = z.iso.datetime({ offset: true, error: 'expected a time as ISO 8601, such as 2030-01-31T12:00:00Z' });
const quotaName = z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, 'expected lower-case letters, digits and _ (at most 64)');

/** A plan without its timestamps. JSON, with every field. */
const planTemplateSchema = z.strictObject({
  id: planId,
  name: z.string().min(1).max(100),
  price: z.int().min(0),
  currency: z.string().regex(/^[A-Z]{3}$/, 'expected an ISO 4217 code, such as USD'),
  interval: z.enum(['month', 'year']),
  quotas: z.record(quotaName, z.int().min(0).nullable()),
  features: z.array(z.string().min(1).max(100)).max(50),
  active: z.boolean(),
  order: z.int(),
  discount: z.strictObject({ from: planId, percent: z.int().min(1).max(100) }).nullable(),
  promo: z
    .strictObject({ code: z.string().regex(/^[A-Z0-9][A-Z0-9_-]{0,31}$/, 'expected capitals, digits and _ - (at most 32)'), ends_at: time })
    .nullable(),
});

export type PlanTemplate = z.output<typeof planTemplateSchema>;

// Other programs may add fields to a plan.
const storedPlanSchema = z.looseObject({ ...planTemplateSchema.shape, created_at: time, updated_at: time });

/** A billing plan as JSON, as stored in `p:billing:plans` and as printed. */
export type PlanJson = PlanTemplate & { readonly created_at: string; readonly updated_at: string };

/** A billing plan. */
export interface Plan {
  /** Letters, digits and `. _ -`, at most 64. */
  readonly id: string;
  readonly name: string;
  /** Price per interval, in minor units of the currency: 1200 is 12.00 USD, or 1200 JPY. */
  readonly price: number;
  /** ISO 4217. */
  readonly currency: string;
  readonly interval: 'month' | 'year';
  /** Included amounts; null for unlimited. */
  readonly quotas: Readonly<Record<string, number | null>>;
  readonly features: readonly string[];
  /** Whether the plan is offered. */
  readonly active: boolean;
  /** Position in a price list, lowest first. */
  readonly order: number;
  /** The discount on another plan's price; null for none. */
  readonly discount: { readonly from: string; readonly percent: number } | null;
  /** The code that the plan requires, and its expiry; null for a plan open to everybody. */
  readonly promo: { readonly code: string; readonly endsAt: Date } | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/**
 * Parses a stored plan.
 * @throws FleetError `INVALID_PLAN`, naming the plan and each field that is wrong
 */
export function parsePlan(id: string, text: string): Plan {
  const parsed = storedPlanSchema.safeParse(parseJson(id, text));
  if (!parsed.success) throw invalidPlan(id, issuesOf(parsed.error));
  if (parsed.data.id !== id)
    throw invalidPlan(id, `id: expected ${quote(id)}, under which the plan is stored, got ${quote(parsed.data.id)}`);
  const { promo, created_at, updated_at, ...plan } = parsed.data;
  return {
    ...{ id, name: plan.name, price: plan.price, currency: plan.currency, interval: plan.interval },
    ...{ quotas: plan.quotas, features: plan.features, active: plan.active, order: plan.order, discount: plan.discount },
    promo: promo && { code: promo.code, endsAt: new Date(promo.ends_at) },
    createdAt: new Date(created_at),
    updatedAt: new Date(updated_at),
  };
}

export function planToJson({ promo, createdAt, updatedAt, ...plan }: Plan): PlanJson {
  return {
    ...plan,
    features: [...plan.features],
    promo: promo && { code: promo.code, ends_at: promo.endsAt.toISOString() },
    created_at: createdAt.toISOString(),
    updated_at: updatedAt.toISOString(),
  };
}

/**
 * Checks a plan template.
 * @throws FleetError `INVALID_PLAN`, naming the plan and each field that is wrong
 */
export function checkPlanTemplate(template: PlanTemplate): PlanTemplate {
  const parsed = planTemplateSchema.safeParse(template);
  if (parsed.success) return parsed.data;
  throw invalidPlan(template.id, issuesOf(parsed.error), 'plan template');
}

/** Turns Redis' WRONGTYPE error into `INVALID_PLAN`; returns any other error unchanged. */
export function asInvalidPlans(key: string, error: unknown): unknown {
  if (!(error instanceof Error && error.message.startsWith('WRONGTYPE'))) return error;
  return new FleetError('INVALID_PLAN', `Expected ${key} to be a hash of billing plans. Delete or rename the key.`, {
    cause: error,
    details: { key },
  });
}

/** Returns the value if it is a time in the format of plans, else null. */
export function timeOrNull(value: unknown): string | null {
  return time.safeParse(value).data ?? null;
}

function invalidPlan(id: string, problem: string, what = 'plan'): FleetError {
  return new FleetError('INVALID_PLAN', `Bad ${what} ${quote(id)}: ${problem}.`, { details: { plan: id, problem } });
}

function parseJson(id: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message would quote part of the text.
    throw invalidPlan(id, 'expected JSON');
  }
}
