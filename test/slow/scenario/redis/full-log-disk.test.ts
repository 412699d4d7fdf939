import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../../shared/task/definition.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { built } from '../../../support/process/built.js';
import { COMMAND } from '../../../support/process/command.js';
import { NodeProcess } from '../../../support/process/processes.js';
import { KEEP } from '../../../support/task/keep.js';
import { until } from '../../../support/until.js';

const noisy = defineTask({ name: 'noisy.print', input: z.object({}), output: z.number(), retention: KEEP });
const bursting = defineTask({ name: 'noisy.burst', input: z.object({}), retention: KEEP });

describe('A worker whose outputs are full', { skip: !existsSync('/dev/full') && 'this machine has no /dev/full' }, () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('runs tasks, reports lost lines in its heartbeat, and requeues running tasks when an exception ends it', async () => {
    const keyPrefix = fleet.newPrefix();
    const keys = fleet.keys(keyPrefix);
    const producer = fleet.producer({ keyPrefix });
    const env = {
      PATH: process.env['PATH'],
      REDIS_URL: fleet.redis.url,
      REDIS_CLUSTER: String(fleet.settings.cluster),
      REDIS_KEY_PREFIX: keyPrefix,
      TASK_MODULES: built('test/support/task/noisy-tasks.mjs'),
      SHUTDOWN_TIMEOUT_MS: '0',
      HEARTBEAT_INTERVAL_MS: '200',
    };
    const command = `exec '${process.execPath}' '${COMMAND}' worker >/dev/full 2>/dev/full`;
    const worker = new NodeProcess(spawn('sh', ['-c', command], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] }), 'worker');
    try {
      const { id } = await producer.enqueue(noisy, {});
      assert.equal(await producer.result(id, { timeoutMs: 60_000 }), worker.pid);
      const [workerId = ''] = await fleet.client.zrange(keys.workers, '0', '-1');
      // It logs its start and that it takes tasks, the task logs a line, and a rejection follows.
      await until(
        () => fleet.client.hmget(keys.worker(workerId), 'log_error', 'log_lost'),
        ([error, count]) => error === 'ENOSPC' && Number(count) >= 4,
      );

      const burst = await producer.enqueue(bursting, {});
      assert.deepEqual(await worker.exit, { code: 70, signal: null });
      const task = await producer.get(burst.id);
      assert.deepEqual([task?.state, task?.error], ['queued', null]);
    } finally {
      await worker.stop();
    }
  });
});
