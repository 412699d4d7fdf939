import { type Plan, asInvalidPlans, parsePlan } from '../shared/billing/plan.js';
import { isFleetError } from '../shared/errors.js';
import type { Store } from '../shared/store.js';
import type { Caller } from './caller.js';

export interface PlanList {
  /** In the order of a price list: by `order`, then by id. */
  readonly plans: Plan[];
  /** What is stored and cannot be understood, by id: it is not among the plans, and keeps nobody from seeing those. */
  readonly invalid: InvalidPlan[];
}

export interface InvalidPlan {
  readonly id: string;
  /** The fields that are wrong, each with what was expected. */
  readonly problem: string;
}

/** The billing plans of the fleet, which `billing.init-plans` creates. */
export class Billing {
  readonly #store: Store;
  readonly #call: Caller;

  constructor(store: Store, call: Caller) {
    this.#store = store;
    this.#call = call;
  }

  /** All plans, those that are not active too. @throws FleetError `INVALID_PLAN` if their key is no hash; `REDIS_UNAVAILABLE` */
  plans(): Promise<PlanList> {
    return this.#call(async () => listOf(await this.#read()));
  }

  async #read(): Promise<Record<string, string>> {
    const { redis, keys } = this.#store;
    try {
      return await redis.hgetall(keys.plans);
    } catch (error) {
      throw asInvalidPlans(keys.plans, error);
    }
  }
}

function listOf(stored: Readonly<Record<string, string>>): PlanList {
  const plans: Plan[] = [];
  const invalid: InvalidPlan[] = [];
  for (const [id, text] of Object.entries(stored)) {
    try {
      plans.push(parsePlan(id, text));
    } catch (error) {
      if (!isFleetError(error, 'INVALID_PLAN')) throw error;
      invalid.push({ id, problem: String(error.details['problem']) });
    }
  }
  return {
    plans: plans.toSorted((a, b) => a.order - b.order || compare(a.id, b.id)),
    invalid: invalid.toSorted((a, b) => compare(a.id, b.id)),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
