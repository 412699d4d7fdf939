import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { resolveSettings } from '../../../../shared/settings/settings.js';
import { StopRequested } from '../../../../shared/stop/cause.js';
import type { ConnectedSettings, Store } from '../../../../shared/store.js';
import { billingInitPlansHandler } from '../../../../worker/builtin/billing/handler.js';
import { planTemplates } from '../../../../worker/builtin/billing/plan-templates.js';
import { type BillingInitPlansOutput, billingInitPlans } from '../../../../worker/builtin/definitions.js';
import { type Deferred, deferred } from '../../../support/deferred.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { type FakeContextOptions, createFakeContext, runHandler } from '../../../support/task/task-context.js';

type Input = Parameters<typeof billingInitPlans.input.parse>[0];

const ALL = { include_annual: true, include_promo: true };
const LONG_AGO = '2020-01-01T00:00:00.000Z';

describe('billing.init-plans', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Opens a fleet's plans, and the handler without a worker. */
  function open(change: (store: Store) => Store = (store) => store) {
    const keyPrefix = fleet.newPrefix();
    const store = change(fleet.store({ keyPrefix }));
    const log = new LogLines();
    const handler = billingInitPlansHandler({ store, settings: resolveSettings({}) as ConnectedSettings, loggers: log.loggers });
    const start = (input: Input = {}, options: FakeContextOptions = {}) => {
      const fake = createFakeContext(billingInitPlans, input as object, options);
      return { fake, output: runHandler(billingInitPlans, handler, fake) };
    };
    return {
      log,
      start,
      key: store.keys.plans,
      run: (input?: Input): Promise<BillingInitPlansOutput> => start(input).output,
      billing: fleet.producer({ keyPrefix }).billing,
      stored: (): Promise<Record<string, string>> => fleet.client.hgetall(store.keys.plans),
    };
  }

  it('creates missing plans and skips the others, with a line for each and progress', async () => {
    const { run, start, billing, log } = open();
    assert.deepEqual(await run(), { created: 4, updated: 0, skipped: 0, total: 4 });
    log.lines.splice(0);
    const { fake, output } = start({ include_annual: true });
    assert.deepEqual(await output, { created: 3, updated: 0, skipped: 4, total: 7 });
    const lines = fake.emitted as { plan: string; outcome: string }[];
    const expected = [
      ['free', 'skipped'],
      ['starter', 'skipped'],
      ['starter-annual', 'created'],
      ['pro', 'skipped'],
      ['pro-annual', 'created'],
      ['team', 'skipped'],
      ['team-annual', 'created'],
    ];
    assert.deepEqual(
      lines.map(({ plan, outcome }) => [plan, outcome]),
      expected,
    );
    assert.deepEqual(fake.emitted[4], {
      plan: 'pro-annual',
      outcome: 'created',
      name: 'Pro Annual',
      price: 19_200,
      currency: 'USD',
      interval: 'year',
      active: true,
    });
    assert.deepEqual(
      fake.progress,
      Array.from({ length: 8 }, (_, done) => ({ done, total: 7 })),
    );
    assert.deepEqual(
      log.lines.map(({ component, level, plan, msg }) => [component, level, plan, msg]),
      [
        ...expected.map(([plan, outcome]) => ['billing', outcome === 'created' ? 30 : 20, plan, `Billing plan ${outcome}`]),
        ['billing', 30, undefined, 'Billing plans initialized'],
      ],
    );
    const { plans, invalid } = await billing.plans();
    assert.deepEqual([plans.map(({ id }) => id), invalid], [expected.map(([plan]) => plan), []]);
    assert.ok(
      plans.every(({ createdAt, updatedAt }) => createdAt.getTime() === updatedAt.getTime() && Date.now() - createdAt.getTime() < 60_000),
    );
  });

  it('with force updates existing plans, and keeps created_at and fields added by others', async () => {
    const { run, key, billing, stored } = open();
    await run(ALL);
    for (const [id, text] of Object.entries(await stored())) {
      await fleet.client.hset(
        key,
        id,
        JSON.stringify({ ...(JSON.parse(text) as object), price: 1, created_at: LONG_AGO, updated_at: LONG_AGO, tax_id: id }),
      );
    }
    const changed = await stored();
    assert.deepEqual(await run(ALL), { created: 0, updated: 0, skipped: 9, total: 9 });
    assert.deepEqual(await stored(), changed);
    await fleet.client.hdel(key, 'team');
    assert.deepEqual(await run({ ...ALL, force: true }), { created: 1, updated: 8, skipped: 0, total: 9 });
    const { plans } = await billing.plans();
    assert.deepEqual([plans.length, plans.find(({ id }) => id === 'pro')?.price], [9, 2_000]);
    for (const { id, createdAt, updatedAt } of plans.filter((plan) => plan.id !== 'team')) {
      assert.deepEqual([id, createdAt.toISOString()], [id, LONG_AGO]);
      assert.ok(Date.now() - updatedAt.getTime() < 60_000);
      assert.equal((JSON.parse((await stored())[id] ?? '') as { tax_id: string }).tax_id, id);
    }
  });

  for (const [what, text] of [
    ['not JSON', '{"id": a secret'],
    ['empty', ''],
    ['no object', '[1]'],
    ['half a plan', `{"id":"pro","created_at":"${LONG_AGO}"}`],
    ['not even text', Buffer.from([0xff, 0xfe])],
  ] as const) {
    it(`fails at a stored plan that is ${what}, and names it; force replaces it`, async () => {
      const { run, start, key, stored, billing } = open();
      await fleet.client.hset(key, 'pro', text);
      const { fake, output } = start();
      const error = await output.then(
        () => assert.fail(),
        (thrown: unknown) => thrown as Error,
      );
      assert.ok(error instanceof UnrecoverableError);
      assert.match(error.message, /^Plan "pro": the stored plan is invalid \(.+\); a run with force replaces it$/);
      assert.ok(!error.message.includes('secret'));
      assert.deepEqual([fake.emitted.length, fake.progress.at(-1)], [2, { done: 2, total: 4 }]);
      assert.deepEqual(Object.keys(await stored()).toSorted(), ['free', 'pro', 'starter']);
      assert.deepEqual(
        (await billing.plans()).invalid.map(({ id }) => id),
        ['pro'],
      );
      assert.deepEqual(await run({ force: true }), { created: 1, updated: 3, skipped: 0, total: 4 });
      const { plans, invalid } = await billing.plans();
      assert.deepEqual([plans.map(({ id }) => id), invalid], [['free', 'starter', 'pro', 'team'], []]);
      if (text.includes(LONG_AGO)) assert.equal(plans[2]?.createdAt.toISOString(), LONG_AGO);
    });
  }

  it('fails, and lists nothing, if the key of the plans has another type', async () => {
    const { run, key, billing } = open();
    await fleet.client.set(key, 'something else');
    await assert.rejects(
      run({ force: true }),
      (error) =>
        error instanceof UnrecoverableError && error.message.startsWith(`Plan "free": Expected ${key} to be a hash of billing plans`),
    );
    await assert.rejects(billing.plans(), {
      code: 'INVALID_PLAN',
      message: `Expected ${key} to be a hash of billing plans. Delete or rename the key.`,
    });
    assert.equal(await fleet.client.get(key), 'something else');
  });

  it('fails halfway with the plan and the cause, and finishes on a retry', async () => {
    const refusal = new Error("OOM command not allowed when used memory > 'maxmemory'.");
    let refused = false;
    const { run, stored } = open((store) => {
      const redis = Object.create(store.redis, {
        replaceField: {
          value: (...args: Parameters<Store['redis']['replaceField']>) =>
            !refused && args[1] === 'pro' ? ((refused = true), Promise.reject(refusal)) : store.redis.replaceField(...args),
        },
      }) as Store['redis'];
      return { ...store, redis };
    });
    await assert.rejects(
      run(),
      (error: Error) =>
        !(error instanceof UnrecoverableError) && error.message === `Plan "pro": ${refusal.message}` && error.cause === refusal,
    );
    assert.equal(Object.keys(await stored()).length, 2);
    assert.deepEqual(await run(), { created: 2, updated: 0, skipped: 2, total: 4 });
    assert.ok(billingInitPlans.retry.attempts > 1);
  });

  it('writes nothing if a template is invalid, and names the template and the field', async () => {
    const store = fleet.store();
    const templatesOf: typeof planTemplates = (...args) =>
      planTemplates(...args).map((one) => (one.id === 'team' ? { ...one, price: 0.5 } : one));
    const handler = billingInitPlansHandler(
      { store, settings: resolveSettings({}) as ConnectedSettings, loggers: new LogLines().loggers },
      { templatesOf },
    );
    const output = runHandler(billingInitPlans, handler, createFakeContext(billingInitPlans, {}));
    await assert.rejects(
      output,
      (error) => error instanceof UnrecoverableError && error.message.startsWith('Bad plan template "team": price: '),
    );
    assert.equal(await fleet.client.exists(store.keys.plans), 0);
  });

  it('throws the reason of an abort between two plans', async () => {
    const { start, stored } = open();
    const reason = new StopRequested('enough', 'a test');
    const { fake, output } = start({}, { onEmit: () => fake.abort(reason) });
    await assert.rejects(output, (error) => error === reason);
    assert.deepEqual(Object.keys(await stored()), ['free']);
  });

  it('lists the readable plans by order and id, and the unreadable ones apart', async () => {
    const { run, key, billing, stored } = open();
    await run();
    const free = JSON.parse((await stored())['free'] ?? '') as object;
    const others = ['f', 'b', 'd', 'a', 'e', 'c'].map((letter) => `${letter}-free`);
    for (const id of others) await fleet.client.hset(key, id, JSON.stringify({ ...free, id }));
    await fleet.client.hset(key, { broken: '{', wrong: JSON.stringify({ ...free, id: 'wrong', price: -1 }) });
    const { plans, invalid } = await billing.plans();
    assert.deepEqual(
      plans.map(({ id }) => id),
      [...others.toSorted(), 'free', 'starter', 'pro', 'team'],
    );
    assert.deepEqual(
      invalid.map(({ id, problem }) => [id, problem.split(':')[0]]),
      [
        ['broken', 'expected JSON'],
        ['wrong', 'price'],
      ],
    );
  });

  for (const force of [false, true]) {
    it(`creates each plan once in two concurrent runs${force ? ', also with force' : ''}`, async () => {
      const read = new Map<string, Deferred<void>>();
      const { run, stored } = open((store) => {
        // Neither run writes before both have found no plan.
        const hgetBuffer = async (key: string, id: string): Promise<Buffer | null> => {
          const text = await store.redis.hgetBuffer(key, id);
          const other = read.get(id);
          if (other) other.resolve();
          else await read.set(id, deferred()).get(id)?.promise;
          return text;
        };
        return { ...store, redis: Object.create(store.redis, { hgetBuffer: { value: hgetBuffer } }) as Store['redis'] };
      });
      const [one, other] = await Promise.all([run({ ...ALL, force }), run({ ...ALL, force })]);
      assert.equal(one.created + other.created, 9);
      assert.deepEqual([one.updated + other.updated, one.skipped + other.skipped], force ? [9, 0] : [0, 9]);
      assert.equal(Object.keys(await stored()).length, 9);
    });
  }

  it('runs twice at once on two workers, with summaries that add up', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, []);
    await fleet.worker(keyPrefix, []);
    for (const force of [false, true, false]) {
      await fleet.client.del(`${keyPrefix}:billing:plans`);
      const tasks = await producer.enqueueMany(
        billingInitPlans,
        Array.from({ length: 2 }, () => ({ input: { ...ALL, force } })),
      );
      const outputs = await Promise.all(tasks.map((task) => producer.result(task)));
      for (const { created, updated, skipped, total } of outputs) assert.deepEqual([created + updated + skipped, total], [9, 9]);
      assert.equal(
        outputs.reduce((sum, { created }) => sum + created, 0),
        9,
      );
      assert.equal((await producer.billing.plans()).plans.length, 9);
    }
  });
});
