import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { defineHandler, defineTask } from '../../../../worker/index.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const DAY_MS = 86_400_000;
/** No token comes back while a test runs. */
const TOKENS = { group: 'tokens', limit: 1_000, per: '1d', burst: 1_000, cost: () => 600 };
const RATE = 'rate:group:tokens#0:';

describe('context.spend', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let task: ScriptedTask;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(async () => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    log = new LogLines();
    task = new ScriptedTask('spend.task');
    const { rate } = defineHandler(task.definition, () => null, { rate: TOKENS });
    await fleet.worker(prefix, [{ ...task.handler, rate }], { loggers: log.loggers });
  });
  after(() => fleet.stop());

  /** Returns the tokens that are missing from the bucket. */
  async function missing(): Promise<number> {
    const stored = (await fleet.client.get(`${fleet.keys(prefix).limiter('rate:')}${RATE}`)) ?? '0 1';
    const [seconds = 0] = (await fleet.client.time()).map(Number);
    const [arrival = 0] = stored.split(' ').map(Number);
    return Math.max(0, Math.round((arrival - seconds * 1_000) / (DAY_MS / TOKENS.limit)));
  }

  const missingIs = (tokens: number): Promise<number> => until(missing, (found) => found === tokens);

  it('replaces the estimate, in both directions, and gives the next tasks their start', async () => {
    const first = await producer.enqueue(task.definition, {});
    const second = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await missingIs(600);
    // It is fetched once before it waits for the rate.
    await until(
      () => producer.get(second.id),
      (view) => view?.state === 'queued' && view.waitingFor !== null,
    );
    call.context.spend(700);
    await missingIs(700);
    call.context.spend(100);
    call.context.spend(200);
    const next = await task.call(1);
    assert.equal(next.context.id, second.id);
    await missingIs(800);
    call.context.spend(250);
    call.returns();
    await producer.result(first);
    await missingIs(850);
    call.context.spend(0);
    next.throws(new Error('failed before it spent'));
    await until(
      () => producer.get(second.id),
      (view) => view?.state === 'failed',
    );
    await missingIs(850);
  });

  it('refuses anything but a number from 0, and does nothing on a task without a rate that has a cost', async () => {
    const seen: unknown[] = [];
    const free = defineTask({ name: 'free.task', input: z.object({}), rate: { limit: 100, per: '1m' }, retention: KEEP });
    await fleet.worker(prefix, [
      defineHandler(free, ({ spend }) => {
        for (const bad of [-1, NaN, Infinity, '5', null, undefined, 5n]) {
          assert.throws(
            () => spend(bad as number),
            (error) => error instanceof TypeError && error.message.startsWith('context.spend: expected a number from 0, got'),
          );
        }
        seen.push(spend(5));
        return 'fine';
      }),
    ]);
    assert.equal(await producer.result(await producer.enqueue(free, {})), 'fine');
    assert.deepEqual(seen, [undefined]);
  });

  it('logs one warning if Redis does not take the corrections, and the task completes', async () => {
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await fleet.client.set(fleet.keys(prefix).limiter('defined'), 'no hash');
    call.context.spend(1);
    await until(
      () => log.find(/Could not correct the cost/).length,
      (lines) => lines === 1,
    );
    call.context.spend(2);
    call.returns('done');
    assert.equal(await producer.result(id), 'done');
    assert.equal(log.find(/Could not correct the cost of a task; its estimate counts/).length, 1);
  });
});
