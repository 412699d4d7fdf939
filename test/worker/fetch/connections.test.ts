/** A worker holds the connections listed in docs/explanation/architecture.md, no matter how many tasks it runs. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { createKeys } from '../../../shared/keys.js';
import { MAINTENANCE_QUEUE } from '../../../worker/builtin/definitions.js';
import { handlerBegins, scenarioTask, startWorker } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

/** The names of all connections of workers, sorted. */
async function namesOf(client: Redis): Promise<string[]> {
  const list = (await client.client('LIST')) as string;
  const names = [...list.matchAll(/ name=(\S*) /g)].map(([, name]) => name as string);
  return names.filter((name) => name !== 'test').toSorted();
}

describe('The connections of a worker', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
    await fleet.client.client('SETNAME', 'test');
  });
  after(() => fleet.stop());

  for (const concurrency of [1, 100]) {
    it(`are one for commands, one for stops and one for each queue, with concurrency ${concurrency}`, async (t) => {
      const keyPrefix = fleet.newPrefix();
      const producer = fleet.producer({ keyPrefix });
      const ids = (
        await producer.enqueueMany(
          scenarioTask,
          Array.from({ length: concurrency }, () => ({ input: { ms: 600_000 } })),
        )
      ).map(({ id }) => id);
      await producer.close();
      const worker = await startWorker(fleet.redis, keyPrefix, { WORKER_CONCURRENCY: String(concurrency), HEARTBEAT_INTERVAL_MS: '1000' });
      t.after(() => worker.stop());
      await Promise.all(ids.map((id) => handlerBegins([worker], id)));
      // The maintenance queue is listed with its first schedule, a little later.
      const queues = await until(
        () => fleet.client.smembers(createKeys(keyPrefix).queues),
        (known) => known.includes(MAINTENANCE_QUEUE),
      );
      const names = await until(
        () => namesOf(fleet.client),
        (found) => found.length >= 2 + queues.length,
      );
      const [id = ''] = await fleet.client.zrange(createKeys(keyPrefix).workers, '0', '-1');
      // BullMQ names the connections that wait for tasks, and finds its workers by these names.
      const waiting = queues.map((queue) => `${keyPrefix}:bull:${Buffer.from(queue).toString('base64')}:w:${id}`);
      const expected = ['taskfleet:worker', 'taskfleet:worker:stop', ...waiting].toSorted();
      assert.deepEqual(names, expected);
      await until(
        () => fleet.client.hget(createKeys(keyPrefix).worker(id), 'connections'),
        (count) => count === String(expected.length),
      );
    });
  }
});
