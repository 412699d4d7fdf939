import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkPlanTemplate } from '../../../../shared/records/billing-plan.js';
import { discounted, planTemplates } from '../../../../worker/builtin/billing/plan-templates.js';

const EARLY = new Date('2026-01-01T00:00:00Z');
const ALL = { include_annual: true, include_promo: true };
const NONE = { include_annual: false, include_promo: false };

describe('the templates of the billing plans', () => {
  const all = planTemplates(ALL, EARLY);
  const plan = (id: string) => all.find((one) => one.id === id);

  it('are valid and sorted, each with a unique id and order', () => {
    for (const template of all) assert.deepEqual(checkPlanTemplate(template), template);
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
    const places = all.map(({ order }) => order);
    assert.deepEqual(
      places,
      [...new Set(places)].toSorted((a, b) => a - b),
    );
    assert.ok(all.length > 0 && all.every(({ active }) => active));
  });

  it('are the default ones unless the input selects more', () => {
    const ids = (options: typeof NONE) => planTemplates(options, EARLY).map(({ id }) => id);
    const annual = ['starter-annual', 'pro-annual', 'team-annual'];
    const promotional = ['starter-welcome', 'pro-launch'];
    assert.deepEqual(ids(NONE), ['free', 'starter', 'pro', 'team']);
    assert.deepEqual(
      ids({ ...NONE, include_annual: true }).filter((id) => !ids(NONE).includes(id)),
      annual,
    );
    assert.deepEqual(
      ids({ ...NONE, include_promo: true }).filter((id) => !ids(NONE).includes(id)),
      promotional,
    );
    assert.equal(ids(ALL).length, 9);
  });

  it('of annual plans cost twelve months less 20 %, and otherwise equal the monthly ones', () => {
    for (const annual of all.filter(({ interval }) => interval === 'year')) {
      const from = plan(annual.discount?.from ?? '');
      assert.ok(from);
      assert.equal(annual.price, from.price * 9.6);
      assert.deepEqual(
        [annual.id, annual.discount?.percent, annual.quotas, annual.features],
        [`${from.id}-annual`, 20, from.quotas, from.features],
      );
    }
  });

  it('of promotions have a code, an end and a lower price', () => {
    for (const { promo, price, discount } of all.filter((one) => one.promo !== null)) {
      assert.ok(promo && new Date(promo.ends_at) > EARLY);
      assert.ok(price < (plan(discount?.from ?? '')?.price ?? 0));
    }
  });

  it('of a promotion that has ended are inactive', () => {
    const ends = new Date(plan('starter-welcome')?.promo?.ends_at ?? '');
    const activeAt = (ms: number) =>
      planTemplates(ALL, new Date(ms))
        .filter(({ active }) => !active)
        .map(({ id }) => id);
    assert.deepEqual(activeAt(ends.getTime() - 1), []);
    assert.deepEqual(activeAt(ends.getTime()), ['starter-welcome']);
    assert.deepEqual(activeAt(new Date('2100-01-01').getTime()), ['starter-welcome', 'pro-launch']);
  });

  it('have prices in whole minor units, with halves rounded up', () => {
    assert.deepEqual(
      [discounted(999, 1, 50), discounted(1_001, 1, 50), discounted(333, 1, 33), discounted(0, 12, 20), discounted(1, 12, 20)],
      [500, 501, 223, 0, 10],
    );
  });
});
