import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import type { Keys } from '../../../shared/keys.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { startWorker } from '../../support/fleet/scenario.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../support/process/processes.js';
import { until } from '../../support/until.js';

const keyPrefix = 'canary';
const GRACE_MS = 300;
/** Room beyond the grace period on a busy machine; the measured time is printed. */
const LIMIT_MS = GRACE_MS + 30_000;
/** More CPU time than any other thread of an idle worker uses meanwhile. */
const BUSY_MS = 500;
/** USER_HZ of /proc/<pid>/stat: 100 on every Linux that Node runs on. */
const MS_PER_TICK = 10;

describe('A canary on a worker with one slot and one thread', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let worker: NodeProcess;
  let keys: Keys;

  before(async () => {
    fleet = await TestFleet.start();
    keys = fleet.keys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
    worker = await startWorker(fleet.redis, keyPrefix, {
      WORKER_CONCURRENCY: '1',
      THREAD_POOL_SIZE: '1',
      STOP_GRACE_MS: String(GRACE_MS),
      HEARTBEAT_INTERVAL_MS: '100',
    });
  });
  after(async () => {
    await worker.stop();
    await fleet.stop();
  });

  async function running(mode: 'spin' | 'deaf', runMs: number): Promise<string> {
    const { id } = await producer.enqueue(fleetCanary, { mode, run_ms: runMs }, { item: 'chat-1' });
    for await (const event of producer.events(id)) if (event.type === 'progress') break;
    return id;
  }

  async function heartbeat(): Promise<Record<string, string>> {
    const [id] = await fleet.client.zrange(keys.workers, '0', '-1');
    return fleet.client.hgetall(keys.worker(id ?? ''));
  }

  it('that blocks its thread is killed with it after the grace period, and the CPU is idle again', async (t) => {
    const earlier = await threadTimes(worker.pid);
    const id = await running('spin', 600_000);
    const [spinning] = await until(
      async () => [...(await threadTimes(worker.pid))].filter(([thread, ms]) => ms - (earlier.get(thread) ?? 0) > BUSY_MS),
      (threads) => threads.length > 0,
      { everyMs: 50 },
    );
    const receipt = await producer.stop(id, { waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'kill']);
    const latency = receipt.latencyMs ?? Infinity;
    await until(
      () => threadTimes(worker.pid),
      (threads) => !threads.has(spinning?.[0] ?? ''),
      { everyMs: 50 },
    );
    t.diagnostic(`spin: cancelled ${latency - GRACE_MS} ms after grace`);
    assert.ok(latency >= GRACE_MS - 1 && latency <= LIMIT_MS, `${latency} ms`);
    const next = await producer.enqueue(fleetCanary, { mode: 'spin', run_ms: 0 });
    assert.equal((await producer.result(next)).mode, 'spin');
  });

  it('that ignores its signal is abandoned after the grace period: its slot is free, and its return changes nothing', async (t) => {
    const id = await running('deaf', 8_000);
    const second = await producer.enqueue(fleetCanary, { mode: 'cooperative', run_ms: 0 }, { item: 'chat-1' });
    const receipt = await producer.stop(id, { waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'abandon']);
    const latency = receipt.latencyMs ?? Infinity;
    assert.ok(latency >= GRACE_MS - 1 && latency <= LIMIT_MS, `${latency} ms`);
    const { startedAt } = await producer.waitUntilFinished(second);
    const freeAfter = (startedAt?.getTime() ?? Infinity) - (receipt.requestedAt?.getTime() ?? 0);
    t.diagnostic(`deaf: cancelled ${latency - GRACE_MS} ms after grace; its slot was taken ${freeAfter - GRACE_MS} ms after grace`);
    assert.ok(freeAfter <= LIMIT_MS, `${freeAfter} ms`);

    await until(heartbeat, ({ zombies }) => zombies === '1');
    await fleet.emptied(keyPrefix);
    const settled = await everythingOf(id);
    assert.equal(settled.task?.state, 'cancelled');
    await worker.waitForLine(new RegExp(`"${id}".*Abandoned handler returned`));
    // The worker's writes after that return use the heartbeat's connection, and precede the second heartbeat.
    const first = await until(heartbeat, ({ zombies }) => zombies === '0');
    await until(heartbeat, ({ beat_at: at }) => Number(at) > Number(first['beat_at']));
    assert.deepEqual(await everythingOf(id), settled);
    assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  });

  /** Returns everything in Redis about a task. */
  async function everythingOf(id: string) {
    const [task, job, stream] = await Promise.all([
      producer.get(id),
      fleet.client.hgetall(`${keys.jobs('fleet')}${id}`),
      fleet.client.xrange(keys.events(id), '-', '+'),
    ]);
    return { task, job, stream };
  }
});

/** Returns the CPU time of each thread of a process so far, in ms. */
async function threadTimes(pid: number): Promise<Map<string, number>> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(threads.map(async (thread) => [thread, await cpuMs(`/proc/${pid}/task/${thread}/stat`)] as const));
  return new Map(times.filter(([, ms]) => !Number.isNaN(ms)));
}

/** Returns NaN for a thread that has ended. */
async function cpuMs(path: string): Promise<number> {
  const stat = await readFile(path, 'utf8').catch(() => '');
  // The name, in brackets, may contain spaces. utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}
