import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { type Keys, createKeys } from '../../../shared/keys.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const HOUR_MS = 3_600_000;

describe('The event stream of a task without output in its last run', () => {
  let fleet: TestFleet;
  let keys: Keys;
  let producer: Producer;
  let task: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp() {
    const keyPrefix = fleet.newPrefix();
    keys = createKeys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
    task = new ScriptedTask('end.task', { retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 1, jitter: 0 } } });
    // Stalled tasks are left to the stalled check: the reconciler first runs after an hour.
    await fleet.worker(keyPrefix, [task.handler], { lockMs: 600_000, stalledCheckMs: 500, reconcileMs: HOUR_MS });
    const { id } = await producer.enqueue(task.definition, {});
    const first = await task.call(0);
    first.context.emit('a word');
    await until(
      () => fleet.client.xlen(keys.events(id)),
      (entries) => entries === 2,
    );
    return { id, first };
  }

  const states = async (id: string): Promise<unknown[]> => {
    const entries = await fleet.client.xrange(keys.events(id), '-', '+');
    return entries.flatMap(([, [, type, , data]]) => (type === 'state' ? [JSON.parse(data ?? '')] : []));
  };

  it('ends with completed, and expires an hour later', async () => {
    const { id, first } = await setUp();
    first.throws(new Error('once more'));
    (await task.call(1)).returns();
    await producer.result(id);
    assert.deepEqual(
      await until(
        () => states(id),
        (all) => all.includes('completed'),
      ),
      ['running', 'retrying', 'completed'],
    );
    assert.ok(
      (await until(
        () => fleet.client.pttl(keys.events(id)),
        (ms) => ms <= HOUR_MS,
      )) > 0,
    );
  });

  it('ends with cancelled after its worker died, and expires an hour later', async () => {
    const { id, first } = await setUp();
    // Its worker hangs: the stop is recorded but not applied, and the stalled check requeues the task.
    await fleet.client.hset(keys.jobs('end') + id, { stop: JSON.stringify({ reason: null, by: null, at: Date.now() }), defa: 'Stopped' });
    await fleet.client.del(`${keys.jobs('end')}${id}:lock`);
    await assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    assert.equal(
      (
        await until(
          () => states(id),
          (all) => all.includes('cancelled'),
        )
      ).at(-1),
      'cancelled',
    );
    assert.ok(
      (await until(
        () => fleet.client.pttl(keys.events(id)),
        (ms) => ms <= HOUR_MS,
      )) > 0,
    );
    first.returns();
    assert.equal(task.calls.length, 1);
  });
});
