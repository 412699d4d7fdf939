import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
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
const LIMIT_MS = GRACE_MS + 700;
const WINDOW_MS = 250;
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
    const id = await running('spin', 600_000);
    const busy = await until(
      () => cpuShare(worker.pid),
      (share) => share > 0.3,
    );
    const receipt = await producer.stop(id, { waitMs: 10_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'kill']);
    const latency = receipt.latencyMs ?? Infinity;
    const idle = await until(
      () => cpuShare(worker.pid),
      (share) => share < 0.15,
    );
    t.diagnostic(`spin: cancelled ${latency - GRACE_MS} ms after grace; CPU ${percent(busy)} before, ${percent(idle)} after`);
    assert.ok(latency >= GRACE_MS - 1 && latency <= LIMIT_MS, `${latency} ms`);
    const next = await producer.enqueue(fleetCanary, { mode: 'spin', run_ms: 0 });
    assert.equal((await producer.result(next)).mode, 'spin');
  });

  it('that ignores its signal is abandoned after the grace period: its slot is free, and its return changes nothing', async (t) => {
    const id = await running('deaf', 1_500);
    const second = await producer.enqueue(fleetCanary, { mode: 'cooperative', run_ms: 0 }, { item: 'chat-1' });
    const receipt = await producer.stop(id, { waitMs: 10_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'abandon']);
    const latency = receipt.latencyMs ?? Infinity;
    assert.ok(latency >= GRACE_MS - 1 && latency <= LIMIT_MS, `${latency} ms`);
    const { startedAt } = await producer.waitUntilFinished(second);
    const freeAfter = (startedAt?.getTime() ?? Infinity) - (receipt.requestedAt?.getTime() ?? 0);
    t.diagnostic(`deaf: cancelled ${latency - GRACE_MS} ms after grace; its slot was taken ${freeAfter - GRACE_MS} ms after grace`);
    assert.ok(freeAfter <= LIMIT_MS, `${freeAfter} ms`);

    await fleet.emptied(keyPrefix);
    const settled = await everythingOf(id);
    assert.equal(settled.task?.state, 'cancelled');
    await until(heartbeat, ({ zombies }) => zombies === '1');
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

/** Measures the share of one CPU used by a process. */
async function cpuShare(pid: number): Promise<number> {
  const [startedAt, usedMs] = [performance.now(), await cpuMs(pid)];
  await delay(WINDOW_MS);
  return ((await cpuMs(pid)) - usedMs) / (performance.now() - startedAt);
}

async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name, in brackets, may contain spaces. utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

function percent(share: number): string {
  return `${Math.round(100 * share)}%`;
}
