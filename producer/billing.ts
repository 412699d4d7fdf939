import { isFleetError } from '../shared/errors.js';
import { type Plan, asInvalidPlans, parsePlan } from '../shared/records/billing-plan.js';
import type { Store } from '../shared/store.js';
import type { Caller } from './calls.js';

export interface PlanList {
  /** Sorted by `order`, then by id. */
  readonly plans: Plan[];
  /** Stored plans that are invalid, sorted by id. They are not in `plans`. */
  readonly invalid: InvalidPlan[];
}

export interface InvalidPlan {
  readonly id: string;
  /** The invalid fields, each with the expected value. */
  readonly problem: string;
}

/** The fleet's billing plans, which the task `billing.init-plans` creates. */
export class Billing {
  readonly #store: Store;
  readonly #call: Caller;

  constructor(store: Store, call: Caller) {
    this.#store = store;
    this.#call = call;
  }

  /** Returns all plans, including inactive ones. @throws FleetError `INVALID_PLAN` if their key is not a hash; `REDIS_UNAVAILABLE` */
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
