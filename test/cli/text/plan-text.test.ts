import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatMoney, invalidPlanText, planLine, planTable } from '../../../cli/text/plan-text.js';
import type { Plan } from '../../../producer/index.js';

const PLAN: Plan = {
  ...{ id: 'pro', name: 'Pro', price: 2_000, currency: 'USD', interval: 'month', quotas: {}, features: [], active: true, order: 1 },
  ...{ discount: null, promo: null, createdAt: new Date(0), updatedAt: new Date(0) },
};

test('money has as many decimals as its currency', () => {
  const amounts = [
    [0, 'USD'],
    [7, 'USD'],
    [1_200, 'USD'],
    [1_200, 'JPY'],
    [1_200, 'KWD'],
    [2 ** 53 - 1, 'EUR'],
  ] as const;
  assert.deepEqual(
    amounts.map(([amount, currency]) => formatMoney(amount, currency)),
    ['0.00 USD', '0.07 USD', '12.00 USD', '1200 JPY', '1.200 KWD', '90071992547409.91 EUR'],
  );
});

test('plans are a table, with the code and the end of a promotion', () => {
  const promo = { code: 'HALF', endsAt: new Date('2026-06-30T23:59:59Z') };
  const plans = [PLAN, { ...PLAN, id: 'half', name: 'A\u001b[2J half', price: 100_000, interval: 'year', active: false, promo } as const];
  assert.deepEqual(planTable(plans, new Date('2026-06-30T23:59:58Z'), Infinity), [
    'ID    NAME        PRICE        INTERVAL  ACTIVE  CODE  ENDS',
    'pro   Pro           20.00 USD  month     yes     -     -',
    'half  A␛[2J half  1000.00 USD  year      no      HALF  2026-06-30',
  ]);
  assert.match(planTable(plans, promo.endsAt, Infinity)[2] ?? '', /HALF {2}2026-06-30 \(over\)$/);
});

test('a line says what was done about a plan, and whether it is offered', () => {
  const line = { plan: 'pro', outcome: 'created', name: 'Pro', price: 2_000, currency: 'USD', interval: 'year', active: true } as const;
  assert.equal(planLine(line), 'created  pro                20.00 USD / year   Pro');
  assert.equal(planLine({ ...line, active: false }), 'created  pro                20.00 USD / year   Pro  (not active)');
});

test('a plan that cannot be understood is named in one line, fit for a terminal', () => {
  assert.equal(
    invalidPlanText({ id: 'a\n\u001b[2J\u009b', problem: 'expected JSON' }),
    String.raw`Skipping plan "a\n\u001b[2J\u009b", which is invalid: expected JSON`,
  );
});
