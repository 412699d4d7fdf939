import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { startWorker } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../../support/network/fault-proxy.js';
import { built } from '../../../support/process/built.js';
import type { NodeProcess } from '../../../support/process/processes.js';
import { until } from '../../../support/until.js';
import { taskNamed } from './killers/outbreak.js';

const TASKS = 1_000;
/** A busy machine still renews these in time: each lock that it loses is a task that does not complete. */
const LOCK_MS = 4_000;
const LOST_REPLIES = 5;

describe('A task with `onWorkerLost: { retries: 0 }`', () => {
  let fleet: TestFleet;
  let proxy: FaultProxy;
  const workers: NodeProcess[] = [];

  before(async () => {
    fleet = await TestFleet.onOneServer();
    proxy = await FaultProxy.start(fleet.redis.port);
  });
  after(async () => {
    for (const worker of workers) worker.kill('SIGCONT');
    await Promise.all(workers.map((worker) => worker.stop()));
    await proxy.stop();
    await fleet.stop();
  });

  it('runs at most once, whatever happens to its worker: SIGKILL, SIGSTOP, lost replies to fetches', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const runs = join(fleet.redis.dir, 'runs');
    const env = {
      ...{ LOCK_DURATION_MS: String(LOCK_MS), STALLED_CHECK_INTERVAL_MS: '500', WORKER_CONCURRENCY: '5', RUNS: runs },
      TASK_MODULES: built('test/slow/scenario/worker/killers/killer-tasks.mjs'),
    };
    const start = async (more: Readonly<Record<string, string>> = {}): Promise<NodeProcess> => {
      const worker = await startWorker(fleet.redis, keyPrefix, { ...env, ...more });
      workers.push(worker);
      return worker;
    };
    const killed = await start();
    const frozen = await start();
    await start({ REDIS_URL: proxy.url, REDIS_RECONNECT_DELAY: '20' });
    const added = await producer.enqueueMany(
      taskNamed('kill.once'),
      Array.from({ length: TASKS }, (_, index) => ({ input: { ms: 20 + (index % 7) * 20 } })),
    );
    const count = async (): Promise<number> => (await linesOf(runs)).length;
    const reached = (some: number): Promise<number> => until(count, (now) => now >= some, { everyMs: 50 });

    await reached(100);
    killed.kill('SIGKILL');
    frozen.kill('SIGSTOP');
    for (let loss = 0; loss < LOST_REPLIES; loss += 1) await proxy.loseReply(isFetch);
    await start();
    await setTimeout(1.5 * LOCK_MS); // frozen for longer than its lock
    frozen.kill('SIGCONT');
    const second = await start();
    await reached(600);
    second.kill('SIGKILL');

    const ended = await Promise.all(
      added.map(async ({ id }) => {
        await producer.waitUntilFinished(id, { timeoutMs: 120_000 }).catch(() => undefined);
        return producer.get(id);
      }),
    );
    const ids = (await linesOf(runs)).map((line) => line.split(' ')[1]);
    const twice = ids.filter((id, index) => ids.indexOf(id) !== index);
    assert.deepEqual(twice, []);
    const lost = ended.filter((task) => task?.state === 'failed');
    for (const task of lost) assert.match(task?.error ?? '', /^kill\.once runs at most once/);
    const completed = ended.filter((task) => task?.state === 'completed').length;
    assert.equal(completed + lost.length, TASKS);
    assert.ok(lost.length > 0 && completed > TASKS / 2, `${completed} completed, ${lost.length} lost`);
    t.diagnostic(`${ids.length} of ${TASKS} tasks ran, none twice; ${completed} completed, ${lost.length} ended with WORKER_LOST`);
  });
});

/** BullMQ's fetches: the script for an idle worker, and the one that ends a job and fetches the next. */
function isFetch(request: Buffer): boolean {
  return /evalsha/i.test(request.toString('latin1', 0, 64)) && request.includes(':marker') && request.includes(':limiter');
}

async function linesOf(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}
