import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFleetError } from '../../../shared/errors.js';
import { type PlanJson, type PlanTemplate, checkPlanTemplate, parsePlan, planToJson } from '../../../shared/records/billing-plan.js';

const TEMPLATE: PlanTemplate = {
  ...{ id: 'pro', name: 'Pro', price: 2_000, currency: 'USD', interval: 'month', quotas: { seats: 1, documents: null } },
  ...{ features: ['Chat'], active: true, order: 1, discount: { from: 'team', percent: 20 } },
  promo: { code: 'WELCOME50', ends_at: '2030-01-31T12:00:00.000Z' },
};
const STORED: PlanJson = { ...TEMPLATE, created_at: '2026-01-02T03:04:05.006Z', updated_at: '2026-01-02T03:04:05.007Z' };

const BAD: readonly [field: string, value: unknown][] = [
  ...['', 'a:b', '-a', 7].map((id): [string, unknown] => ['id', id]),
  ...['', 'x'.repeat(101)].map((name): [string, unknown] => ['name', name]),
  ...[-1, 0.5, Number.NaN, 2 ** 53, '12', null].map((price): [string, unknown] => ['price', price]),
  ...['usd', 'US', 'USDT', ''].map((currency): [string, unknown] => ['currency', currency]),
  ...['week', null].map((interval): [string, unknown] => ['interval', interval]),
  ...[-1, 1.5, '3'].map((seats): [string, unknown] => ['quotas.seats', { seats }]),
  ['quotas.Seats', { Seats: 1 }],
  ['quotas', []],
  ['features', 'Chat'],
  ...['', 'x'.repeat(101)].map((feature): [string, unknown] => ['features.0', [feature]]),
  ['active', 'yes'],
  ['order', 1.5],
  ...[0, 101, 12.5].map((percent): [string, unknown] => ['discount.percent', { from: 'team', percent }]),
  ['promo.code', { code: 'welcome 50', ends_at: '2030-01-31T12:00:00Z' }],
  ...['tomorrow', '2030-01-31', '2030-13-01T00:00:00Z'].map((ends_at): [string, unknown] => ['promo.ends_at', { code: 'A', ends_at }]),
];

describe('a billing plan', () => {
  it('is parsed from JSON and serialised to the same JSON', () => {
    const plan = parsePlan('pro', JSON.stringify(STORED));
    assert.deepEqual([plan.createdAt, plan.promo?.endsAt], [new Date(STORED.created_at), new Date('2030-01-31T12:00:00Z')]);
    assert.equal(JSON.stringify(planToJson(plan)), JSON.stringify(STORED));
  });

  for (const [field, value] of BAD) {
    it(`with ${field} from ${JSON.stringify(value)} is refused, with an error that names its id and the field`, () => {
      const bad = { ...STORED, [field.split('.')[0] as string]: value };
      const { created_at: _, updated_at: __, ...template } = bad;
      const named = (what: string, id: string) => (error: unknown) =>
        isFleetError(error, 'INVALID_PLAN') && error.message.startsWith(`Bad ${what} "${id}": ${field}: `);
      assert.throws(() => parsePlan('pro', JSON.stringify(bad)), named('plan', 'pro'));
      if (typeof bad.id === 'string') assert.throws(() => checkPlanTemplate(template), named('plan template', bad.id));
    });
  }

  it('requires all of its fields', () => {
    for (const field of Object.keys(STORED)) {
      const { [field as keyof PlanJson]: _, ...rest } = STORED;
      assert.throws(() => parsePlan('pro', JSON.stringify(rest)), new RegExp(`^FleetError: Bad plan "pro": ${field}: `));
    }
  });

  it('may have unknown fields when stored, but not in a template', () => {
    assert.equal(parsePlan('pro', JSON.stringify({ ...STORED, tax_id: 'x' })).id, 'pro');
    assert.throws(() => checkPlanTemplate({ ...TEMPLATE, tax_id: 'x' } as PlanTemplate), /Bad plan template "pro": .*tax_id/);
  });

  it('has the id of its key', () => {
    assert.throws(
      () => parsePlan('team', JSON.stringify(STORED)),
      /Bad plan "team": id: expected "team", under which the plan is stored, got "pro"/,
    );
  });

  it('that is not JSON is refused, and its text is not repeated in the error', () => {
    assert.throws(() => parsePlan('pro', 'a secret'), { message: 'Bad plan "pro": expected JSON.' });
  });
});
