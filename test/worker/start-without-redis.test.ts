import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../shared/task/definition.js';
import { defineHandler } from '../../shared/task/handler.js';
import { createWorker } from '../../worker/index.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';

const task = defineTask({ name: 'late.task', input: z.object({}), output: z.string(), retention: KEEP });

describe('A worker that starts while Redis is away', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('becomes ready and fetches tasks once Redis is up', async () => {
    const keyPrefix = fleet.newPrefix();
    await fleet.redis.kill();
    const worker = await createWorker({
      ...fleet.settings,
      keyPrefix,
      logLevel: 'silent',
      shutdownTimeoutMs: 0,
      handlers: [defineHandler(task, () => 'done')],
    });
    try {
      await worker.start();
      // The first attempts to connect fail long before a server has started.
      const ready = worker.ready();
      await fleet.redis.restart();
      await ready;
      const producer = fleet.producer({ keyPrefix });
      const { id } = await producer.enqueue(task, {});
      assert.equal(await producer.result(id), 'done');
    } finally {
      await worker.stop();
    }
  });
});
