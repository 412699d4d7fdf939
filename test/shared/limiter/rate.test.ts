import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Limiter } from '../../../shared/limiter/limiter.js';
import type { LimitStep } from '../../../shared/limiter/marks.js';
import type { LimitedTask } from '../../../shared/limiter/standing.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const TEND = { graceMs: 60_000, atOnce: true };
/** Longer than a test runs: no credit comes back meanwhile. */
const HOUR_MS = 3_600_000;
/** For the steps of a test on a busy machine, in ms: far below the waits that are compared. */
const SLACK_MS = 5_000;

type Max = readonly [limit: number, perMs: number, burst: number];

function rate(max: Max, { key = '', entry = 0, ...more }: { key?: string; entry?: number; cost?: number } = {}): LimitStep {
  return { kind: 'rate', id: `rate:task:t#${entry}:${key}`, limit: `rate:task:t#${entry}`, max, keyed: key !== '', ...more };
}

function open() {
  const store = fleet.store();
  const { limiter, keys } = store;
  const task = (id: string, steps: readonly LimitStep[]): LimitedTask => ({ id, queue: 'q', name: 't', priority: 0, steps });
  const admit = async (id: string, ...steps: LimitStep[]): Promise<string> => (await limiter.admit(task(id, steps))).kind;
  const start = async (id: string, ...steps: LimitStep[]): Promise<string> => (await limiter.start(task(id, steps))).kind;
  const names = (count: number, prefix = 't'): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);
  const waits = (id: string): Promise<number | null> => waitOf(limiter, id);
  return { store, limiter, keys, task, admit, start, names, waits };
}

/** Returns how long the rate of a waiting task still forbids its start, in ms; null if the task does not wait. */
async function waitOf(limiter: Limiter, id: string): Promise<number | null> {
  const standing = (await limiter.standings([id])).get(id);
  if (!standing) return null;
  return (standing.until ?? assert.fail('a line without a time')).getTime() - (await redisNow());
}

async function redisNow(): Promise<number> {
  const [seconds, micros] = (await fleet.client.time()) as unknown as [string, string];
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}

function assertNear(ms: number | null, expected: number): void {
  assert.ok(ms !== null && ms <= expected + 1 && ms >= expected - SLACK_MS, `${ms} ms is not ${expected} ms`);
}

test('A burst starts at once, the next second is reserved, one start at each interval, and the rest waits in line', async () => {
  const { limiter, task, names } = open();
  const steps = [rate([60, 12_000, 6])];
  const before = await redisNow();
  const answers = await Promise.all(names(20).map((id) => limiter.admit(task(id, steps))));
  assert.deepEqual(
    answers.map(({ kind }) => kind),
    [...Array<string>(6).fill('go'), ...Array<string>(5).fill('at'), ...Array<string>(9).fill('line')],
  );
  const times = answers.flatMap((answer) => (answer.kind === 'at' ? [answer.at] : []));
  const first = times[0] ?? 0;
  assert.ok(first >= before + 200 && first <= before + 200 + SLACK_MS, `${first - before} ms`);
  assert.deepEqual(
    times,
    times.map((_, index) => first + 200 * index),
  );
  const standings = await limiter.standings(['t11', 't19']);
  assert.deepEqual([standings.get('t11')?.position, standings.get('t19')?.position, standings.get('t19')?.limit], [1, 9, 60]);
});

test('A line goes on as credit comes back, in order', async () => {
  const { limiter, admit, start, names } = open();
  const steps = rate([10, 2_000, 1]);
  const ids = names(10);
  for (const id of ids) await admit(id, steps);
  const starts: number[] = [];
  for (const id of ids) {
    const answer = await until(
      async () => {
        await limiter.tend(TEND);
        return start(id, steps);
      },
      (kind) => kind === 'go',
      { everyMs: 5 },
    );
    assert.equal(answer, 'go');
    starts.push(await redisNow());
  }
  // Ten starts need nine intervals after the first, which used the burst.
  const took = (starts.at(-1) ?? 0) - (starts[0] ?? 0);
  assert.ok(took >= 1_700, `${took} ms`);
});

test('A start that costs more than the burst needs a full bucket, and the next ones wait for the debt', async () => {
  const { admit, waits } = open();
  const max: Max = [100, 100_000, 10];
  assert.equal(await admit('small', rate(max, { cost: 1 })), 'go');
  assert.equal(await admit('large', rate(max, { cost: 40 })), 'at');
  assert.equal(await admit('next', rate(max, { cost: 1 })), 'line');
  // 41 tokens are used: of the bucket of 10, 31 are missing, and one more is needed.
  assertNear(await waits('next'), 32_000);
});

test('A task with several rates starts when all have credit, and pays nothing before', async () => {
  const { limiter, admit, waits } = open();
  const requests = rate([2, HOUR_MS, 2], { entry: 0 });
  const tokens = (cost: number): LimitStep => rate([100, HOUR_MS, 100], { entry: 1, cost });
  assert.equal(await admit('a', requests, tokens(90)), 'go');
  assert.equal(await admit('b', requests, tokens(20)), 'line', 'too few tokens');
  assertNear(await waits('b'), (HOUR_MS / 100) * 10);
  assert.equal(await admit('other', rate([2, HOUR_MS, 2], { entry: 0, key: 'k' }), tokens(5)), 'line', 'behind b');
  await limiter.release(['b']);
  await limiter.tend(TEND);
  assert.equal(await admit('c', requests, tokens(5)), 'go', 'b has not used the second request');
  assert.equal(await admit('d', requests), 'line', 'a and c have');
});

test('A newcomer does not overtake the line of a rate, even if it is cheap enough to start', async () => {
  const { limiter, admit, start } = open();
  const max: Max = [10, HOUR_MS, 10];
  assert.equal(await start('a', rate(max, { cost: 5 })), 'go');
  assert.equal(await admit('large', rate(max, { cost: 8 })), 'line');
  assert.equal(await admit('small', rate(max, { cost: 1 })), 'line');
  assert.equal(await start('due', rate(max, { cost: 1 })), 'line');
  await limiter.spend(rate(max, { cost: 5 }), -5);
  assert.equal(await start('large', rate(max, { cost: 8 })), 'go');
  assert.equal(await start('small', rate(max, { cost: 1 })), 'go');
  assert.equal(await start('due', rate(max, { cost: 1 })), 'go');
});

test('Tasks with two rates do not wait for each other in their lines, and the stop of a dear task lets the next ones on', async () => {
  const { limiter, admit, start, names } = open();
  const requests = rate([10, HOUR_MS, 10], { entry: 0 });
  const tokens = (cost: number): LimitStep => rate([100, HOUR_MS, 100], { entry: 1, cost });
  assert.equal(await start('a', requests, tokens(60)), 'go');
  assert.equal(await admit('dear', requests, tokens(50)), 'line');
  const [cheap, others] = [names(4, 'cheap'), names(3, 'other')];
  for (const id of cheap) assert.equal(await admit(id, requests, tokens(1)), 'line', 'behind the dear one');
  await limiter.spend(requests, 9);
  for (const id of others) assert.equal(await admit(id, requests, tokens(1)), 'line', 'too few requests');
  await limiter.spend(requests, -9);
  await limiter.tend(TEND);
  await limiter.release(['dear']);
  await limiter.tend(TEND);
  for (const id of cheap) assert.equal(await start(id, requests, tokens(1)), 'go', id);
  for (const id of others) assert.equal(await start(id, requests, tokens(1)), 'go', id);
});

test('Each key of a rate has its own bucket', async () => {
  const { admit } = open();
  const of = (key: string): LimitStep => rate([1, HOUR_MS, 1], { key });
  assert.deepEqual(
    [await admit('a', of('x')), await admit('b', of('x')), await admit('c', of('y')), await admit('d', of('y'))],
    ['go', 'line', 'go', 'line'],
  );
});

test('A correction of the cost gives tokens back, which lets the next start, or takes more, which delays it', async () => {
  const { limiter, admit, start, waits } = open();
  const of = (cost: number): LimitStep => rate([100, 100_000, 100], { cost });
  assert.deepEqual([await admit('a', of(90)), await start('a', of(90))], ['go', 'go']);
  assert.equal(await admit('b', of(60)), 'line');
  assertNear(await waits('b'), 50_000);
  await limiter.spend(of(90), 10);
  assertNear(await waits('b'), 60_000);
  await limiter.spend(of(90), -60);
  assert.equal(await waits('b'), null);
  assert.equal(await start('b', of(60)), 'go');
  await limiter.spend(of(60), 1_000_000_000);
  assert.equal(await admit('c', of(1)), 'line');
  await limiter.spend(of(60), -1_000_000_000);
  assert.equal(await waits('c'), null);
  await limiter.release(['c']);
  await limiter.spend(of(60), -1_000_000_000);
  assert.deepEqual([await admit('d', of(100)), await admit('e', of(1))], ['go', 'at'], 'the bucket never holds more than its burst');
});

test('Credit that admitted tasks have not used yet does not come back, so that late starts are no second burst', async () => {
  const { limiter, admit, start, names, waits } = open();
  const steps = rate([10, 1_000, 3]);
  const ids = names(40);
  for (const id of ids) await admit(id, steps);
  // Meanwhile no worker is free: without the hold, the bucket would pay for a task each 100 ms.
  const from = await redisNow();
  await until(
    async () => {
      await limiter.tend(TEND);
      return redisNow();
    },
    (now) => now > from + 2_500,
    { everyMs: 50 },
  );
  const started: string[] = [];
  for (const id of ids) if ((await start(id, steps)) === 'go') started.push(id);
  assert.ok(started.length >= 3 && started.length <= 13, `${started.length} starts at once; limit and burst are 13`);
  assert.deepEqual(started, ids.slice(0, started.length));
  const next = await waits(ids[started.length + 10] as string);
  assert.ok(next !== null && next > 0);
});

test('A task that is stopped before its start gives back what it has paid, once', async () => {
  const { limiter, admit, start } = open();
  const steps = rate([1, HOUR_MS, 2]);
  assert.deepEqual([await admit('a', steps), await admit('b', steps), await admit('c', steps)], ['go', 'go', 'line']);
  await limiter.release(['b']);
  await limiter.release(['b']);
  assert.equal(await start('c', steps), 'go');
  assert.equal(await start('a', steps), 'go');
  await limiter.release(['a', 'c']);
  assert.equal(await admit('d', steps), 'line', 'tasks that have started gave nothing back');
});

test('A start after a lost worker, or a retry, pays again', async () => {
  const { limiter, start } = open();
  const steps = rate([1, HOUR_MS, 2]);
  assert.deepEqual([await start('a', steps), await start('a', steps), await start('a', steps)], ['go', 'go', 'line']);
  await limiter.release(['a']);
  assert.equal(await start('a', steps), 'line');
});

test('Times are those of Redis, whatever the clock of the process says', async (t) => {
  const { admit, waits } = open();
  const real = Date.now.bind(Date);
  const steps = rate([60, 60_000, 1]);
  assert.equal(await admit('a', steps), 'go');
  let shiftMs = 0;
  t.mock.method(Date, 'now', () => real() + shiftMs);
  for (shiftMs of [10 * 60_000, -10 * 60_000]) {
    const id = `shifted ${shiftMs}`;
    assert.notEqual(await admit(id, steps), 'go');
  }
  assert.ok(((await waits('shifted -600000')) ?? 0) <= 3_000);
});

test('Published limits win over those of the tasks; records that cannot be read are no obstacle', async () => {
  const { limiter, keys, admit, start, waits } = open();
  const steps = rate([1, HOUR_MS, 1]);
  assert.deepEqual([await admit('a', steps), await admit('b', steps)], ['go', 'line']);
  await limiter.publish([rate([3_600, HOUR_MS, 5])]);
  assert.ok(((await waits('b')) ?? 0) <= 1_000, 'a second each');
  assert.equal(await start('a', steps), 'go');
  for (const bad of ['', '{}', '[]', '["a",null]', '[0,0,0]', '[1e999,-1,5]', 'null', '7']) {
    await fleet.client.hset(keys.limiter('defined'), steps.limit, bad);
    await limiter.release([`x${bad}`]);
    assert.match(await admit(`x${bad}`, { ...steps, id: `rate:task:t#0:${bad}` }), /^(go|at|line)$/, bad);
  }
  await fleet.client.set(keys.limiter(`rate:${steps.id}`), 'nonsense');
  await limiter.tend(TEND);
  assert.match(await admit('z', steps), /^(go|at|line)$/);
});
