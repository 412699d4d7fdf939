import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { type Plan, createProducer, planToJson } from '../../../producer/index.js';
import { billingInitPlans } from '../../../worker/builtin/definitions.js';
import { CliFleet } from '../../support/fleet/cli-fleet.js';
import type { CommandResult } from '../../support/process/command.js';
import { type CliRun, runCli, startCli } from '../../support/process/run-cli.js';

const PLANS = 'taskfleet:billing:plans';
const PLAN_FIELDS = [
  ...['id', 'name', 'price', 'currency', 'interval', 'quotas', 'features', 'active', 'order', 'discount', 'promo'],
  ...['created_at', 'updated_at'],
];
const ALONE = ['nobody-1', 'nobody-2'] as const;
const ALL = ['--include-annual', '--include-promo'];

describe('taskfleet billing', () => {
  let fleet: CliFleet;
  let redis: Redis;
  /** Commands for fleets without a worker. Their notice takes a while, so they are checked last. */
  let alone: CliRun[];

  before(async () => {
    fleet = await CliFleet.start();
    redis = fleet.redis.client();
    alone = ALONE.map((prefix) => startCli(['billing', 'init-plans', '--prefix', prefix], { env: fleet.env, cwd: fleet.folder }));
  });
  beforeEach(() => redis.del(PLANS));
  after(() => fleet.stop());

  const billing = (...args: string[]): Promise<CommandResult> => runCli(['billing', ...args], { env: fleet.env, cwd: fleet.folder });
  const stored = async (): Promise<Plan[]> => (await fleet.producer.billing.plans()).plans;

  it('creates plans, prints a line for each and a summary, and lists them', async () => {
    const none = await billing('plans');
    assert.deepEqual(none, { code: 0, stdout: '', stderr: 'No billing plans yet. To create them: taskfleet billing init-plans' });
    const { code, stdout, stderr } = await billing('init-plans');
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(stdout.split('\n'), [
      'created  free                0.00 USD / month  Free',
      'created  starter             9.00 USD / month  Starter',
      'created  pro                20.00 USD / month  Pro',
      'created  team               75.00 USD / month  Team',
      'created 4, updated 0, skipped 0, total 4',
    ]);
    const [table, json] = await Promise.all([billing('plans'), billing('plans', '-o', 'json')]);
    const [header, ...rows] = table.stdout.split('\n');
    assert.match(header ?? '', /^ID +NAME +PRICE +INTERVAL +ACTIVE +CODE +ENDS$/);
    assert.match(rows[2] ?? '', /^pro +Pro +20\.00 USD +month +yes +- +-$/);
    const plans = JSON.parse(json.stdout) as object[];
    assert.deepEqual(plans, (await stored()).map(planToJson));
    assert.deepEqual(Object.keys(plans[0] ?? {}), PLAN_FIELDS);
  });

  it('creates each plan once when run twice at the same time; the two summaries add up', async () => {
    const runs = await Promise.all([1, 2].map(() => billing('init-plans', ...ALL, '-o', 'json')));
    assert.deepEqual(
      runs.map(({ code, stderr }) => [code, stderr]),
      [
        [0, ''],
        [0, ''],
      ],
    );
    const summaries = runs.map(({ stdout }) => JSON.parse(stdout) as Record<string, number>);
    for (const summary of summaries) assert.deepEqual(Object.keys(summary), ['created', 'updated', 'skipped', 'total']);
    const sum = (field: string): number => summaries.reduce((total, summary) => total + (summary[field] ?? Number.NaN), 0);
    assert.deepEqual([sum('created'), sum('updated'), sum('skipped'), sum('total')], [9, 0, 9, 18]);
    assert.equal(await redis.hlen(PLANS), 9);
  });

  it('with --force updates the plans and keeps created_at; on a terminal shows a progress bar', async () => {
    await fleet.producer.result(await fleet.producer.enqueue(billingInitPlans, {}));
    const first = await stored();
    const args = ['billing', 'init-plans', '--include-annual', '--force'];
    const { code, stdout, stderr } = await runCli(args, { env: fleet.env, cwd: fleet.folder, terminal: true });
    assert.equal(code, 0);
    assert.match(stderr, /█ 100% {2}7\/7/);
    assert.match(stdout, /^updated {2}free .*\n[^]*created 3, updated 4, skipped 0, total 7$/);
    const second = await stored();
    for (const { id, createdAt, updatedAt } of first) {
      const plan = second.find((one) => one.id === id);
      assert.deepEqual(plan?.createdAt, createdAt);
      assert.ok(plan && plan.updatedAt > updatedAt);
    }
  });

  it('exits with code 1 and names the plan if the task fails; still lists the readable plans', async () => {
    await redis.hset(PLANS, 'starter', 'nonsense');
    const failed = await billing('init-plans');
    assert.equal(failed.code, 1);
    assert.match(failed.stdout, /^created {2}free [^\n]*$/);
    assert.match(
      failed.stderr,
      /^taskfleet: Task \S+ failed: Plan "starter": the stored plan is invalid \(expected JSON\); a run with force replaces it$/,
    );
    const list = await billing('plans');
    assert.equal(list.code, 1);
    assert.match(list.stdout, /^free /m);
    assert.equal(list.stderr, 'Skipping plan "starter", which is invalid: expected JSON');
  });

  it('reports a failed attempt and follows the retry', async () => {
    const allButPlans = ['~taskfleet:[^b]*', '~taskfleet:bull*', ...ALONE.map((prefix) => `~${prefix}:*`)];
    await redis.acl('SETUSER', 'default', 'resetkeys', ...allButPlans);
    const command = startCli(['billing', 'init-plans'], { env: fleet.env, cwd: fleet.folder });
    try {
      await command.waitForLine(/^Plan "free": NOPERM .*; retrying\.$/);
    } finally {
      await redis.acl('SETUSER', 'default', 'allkeys');
    }
    assert.equal((await command.exit).code, 0);
    assert.equal(command.stdout.lines.at(-1), 'created 4, updated 0, skipped 0, total 4');
  });

  it('reports a missing worker; exits with code 4 on a stop; Ctrl+C only stops watching', async () => {
    const [stopped, left] = alone as [CliRun, CliRun];
    const ids = await Promise.all(
      alone.map(async (command) => (await command.waitForLine(/^Task (\S+) is waiting for a worker\. /))[1] as string),
    );
    const producer = createProducer({ redisUrl: fleet.redis.url, keyPrefix: ALONE[0] });
    assert.equal((await producer.stop(ids[0] as string, { by: 'me' })).outcome, 'cancelled');
    await producer.close();
    left.kill('SIGINT');
    assert.deepEqual([(await stopped.exit).code, (await left.exit).code], [4, 130]);
    assert.equal(stopped.stderr.lines.at(-1), `taskfleet: Task ${ids[0]} was stopped by me`);
    assert.equal(
      left.stderr.lines.at(-1),
      `taskfleet: Stopped watching; task ${ids[1]} keeps running. To stop it: taskfleet task stop ${ids[1]}`,
    );
    assert.deepEqual([stopped.stdout.text, left.stdout.text], ['', '']);
  });
});
