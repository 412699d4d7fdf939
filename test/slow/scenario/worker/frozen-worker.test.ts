import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import type { Keys } from '../../../../shared/keys.js';
import { handlerBegins, runsOf, scenarioTask, scenarioTicker, startWorker } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../../support/process/processes.js';
import { until } from '../../../support/until.js';

const keyPrefix = 'frozen';
const SETTINGS = { LOCK_DURATION_MS: '4000', STALLED_CHECK_INTERVAL_MS: '500', HEARTBEAT_INTERVAL_MS: '1000' };
describe('A worker process frozen for longer than the lock duration', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let keys: Keys;
  let frozen: NodeProcess;
  let heir: NodeProcess | null = null;

  before(async () => {
    fleet = await TestFleet.start();
    keys = fleet.keys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
    // No slot stays free: Redis could otherwise wake a fetch of this worker for the next task, and the other worker would poll only
    // after BullMQ's 5 s.
    frozen = await startWorker(fleet.redis, keyPrefix, { ...SETTINGS, WORKER_CONCURRENCY: '2' });
  });
  after(async () => {
    frozen.kill('SIGCONT');
    await Promise.all([frozen.stop(), heir?.stop()]);
    await fleet.stop();
  });

  it('changes nothing about fenced or taken-over tasks, aborts their handlers, and goes on with new tasks', async (t) => {
    const end = join(fleet.redis.dir, 'end');
    const stopped = await producer.enqueue(scenarioTicker, { file: end }, { item: 'chat-1' });
    const taken = await producer.enqueue(scenarioTicker, { file: end }, { item: 'chat-1' });
    for (const { id } of [stopped, taken]) {
      await handlerBegins([frozen], id);
      await until(
        () => fleet.client.xlen(keys.events(id)),
        (entries) => entries > 5,
      );
    }
    frozen.kill('SIGSTOP');
    // No other worker runs yet, so the stopper finds the lock gone.
    const receipt = await producer.stop(stopped.id, { reason: 'enough', waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'fence']);
    t.diagnostic(`fenced ${receipt.latencyMs} ms after the stop; locks hold ${SETTINGS.LOCK_DURATION_MS} ms`);
    const fenced = await everythingOf(stopped.id);
    heir = await startWorker(fleet.redis, keyPrefix, SETTINGS);
    await handlerBegins([heir], taken.id);
    await until(
      () => pidsAfter(taken.id, '-'),
      (pids) => pids.includes(heir?.pid ?? 0),
    );
    const [[takenOver] = []] = await fleet.client.xrevrange(keys.events(taken.id), '+', '-', 'COUNT', 1);

    frozen.kill('SIGCONT');
    await frozen.waitForLine(new RegExp(`"${taken.id}".*is aborted with LockLost`));
    await frozen.waitForLine(new RegExp(`"${stopped.id}".*is aborted with (LockLost|StopRequested)`));
    // The handlers ignore their signal: they go on, are abandoned, and finally return.
    for (const { id } of [stopped, taken]) await frozen.waitForLine(new RegExp(`"${id}".*abandoning it`));
    await until(
      () => pidsAfter(taken.id, `(${takenOver}`),
      (pids) => pids.length > 10,
    );
    await writeFile(end, '');
    for (const { id } of [stopped, taken]) await frozen.waitForLine(new RegExp(`"${id}".*Abandoned handler returned`));
    assert.equal(await producer.result(taken), heir.pid);
    const task = await producer.get(taken);
    assert.deepEqual([task?.state, task?.attempt, task?.stop, task?.progress === null], ['completed', 2, null, false]);
    // The frozen worker lived on, and tells so once it wakes.
    assert.deepEqual(
      task?.attempts?.map(({ number, outcome }) => [number, outcome]),
      [
        [1, 'lock_lost'],
        [2, 'completed'],
      ],
    );
    const since = await pidsAfter(taken.id, `(${takenOver}`);
    assert.deepEqual([...new Set(since)], [heir.pid]);
    assert.deepEqual(await everythingOf(stopped.id), fenced);
    assert.deepEqual([runsOf([frozen, heir], stopped.id), runsOf([frozen, heir], taken.id)], [1, 2]);
    await fleet.emptied(keyPrefix);

    await heir.stop();
    const next = await producer.enqueue(scenarioTask, {});
    assert.equal(await producer.result(next), 1);
    assert.equal(runsOf([frozen], next.id), 1);
  });

  /** Returns the workers that wrote to a task's stream after an entry, by the pid in each chunk and progress. */
  async function pidsAfter(id: string, from: string): Promise<number[]> {
    const entries = await fleet.client.xrange(keys.events(id), from, '+');
    return entries.flatMap(([, [, type, , data]]) => (type === 'state' ? [] : [(JSON.parse(data ?? '') as { pid: number }).pid]));
  }

  /** Returns everything in Redis about a task. */
  async function everythingOf(id: string) {
    // The handler's log may go on: it tells what the frozen worker did after it woke.
    const [view, { logs: _, ...job }, stream] = await Promise.all([
      producer.get(id),
      fleet.client.hgetall(keys.jobs('scenario') + id),
      fleet.client.xrange(keys.events(id), '-', '+'),
    ]);
    return { view, job, stream };
  }
});
