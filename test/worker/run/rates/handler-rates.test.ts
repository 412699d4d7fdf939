import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Queue } from 'bullmq';
import { z } from 'zod';
import { isFleetError } from '../../../../shared/errors.js';
import type { FleetJob } from '../../../../worker/fetch/fleet-job.js';
import { defineHandler, defineTask } from '../../../../worker/index.js';
import { stepsFor } from '../../../../worker/run/start/steps.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { until } from '../../../support/until.js';

const call = defineTask({ name: 'server.call', input: z.object({ server: z.string().default('x') }), retention: KEEP });
const PER_DAY = { group: 'server', limit: 2, per: '1d', burst: 2 } as const;

describe('The rates of a handler', () => {
  it('come after places of keys and before those of the whole task, with the key of the parsed input', () => {
    const limited = defineTask({
      ...{ name: 'server.call', input: call.input },
      concurrency: [{ limit: 5 }, { by: 'item', limit: 1 }],
      rate: { group: 'server', by: () => 'shared', limit: 1, per: '1s' },
    });
    const handler = defineHandler(limited, () => null, {
      rate: [
        { ...PER_DAY, by: ({ input }) => input.server, cost: () => 7 },
        { ...PER_DAY, group: 'other', by: () => null },
      ],
    });
    const mark = (kind: string, id: string, limit: string, max: unknown) => ({ kind, id, limit, max });
    const limits = [
      mark('place', 'task:server.call:chat:1', 'task:server.call#1', 1),
      mark('place', 'task:server.call:', 'task:server.call#0', 5),
    ];
    const steps = (data: unknown, carried: unknown) =>
      stepsFor(
        { data, taskOptions: { limits: carried, item: 'chat:1' } } as unknown as FleetJob,
        handler,
        handler.definition.input.safeParse(data).data,
      );
    assert.deepEqual(
      steps({}, limits).map(({ id, cost }) => [id, cost]),
      [
        ['task:server.call:chat:1', undefined],
        ['rate:group:server#0:x', 7],
        ['task:server.call:', undefined],
      ],
    );
    assert.deepEqual(
      steps({ server: 'y' }, undefined).map(({ id, max }) => [id, max]),
      [['rate:group:server#0:y', [2, 86_400_000, 2]]],
    );
    const same = [mark('rate', 'rate:group:server#0:x', 'rate:group:server#0', [1, 1_000, 1])];
    assert.equal(steps({}, same).length, 1, 'a rate that the job carries is paid once');
  });

  it('need a group, and are checked like those of a definition', () => {
    for (const [bad, problem] of [
      [{ limit: 1, per: '1m' }, /rate: expected a group/],
      [{ ...PER_DAY, limit: 0 }, /rate: 0\.limit/],
      [{ ...PER_DAY, per: 'soon' }, /rate: 0\.per: expected a duration/],
    ] as const) {
      assert.throws(
        () => defineHandler(call, () => null, { rate: bad as unknown as typeof PER_DAY }),
        (error) => isFleetError(error, 'INVALID_DEFINITION') && problem.test(error.message),
      );
    }
  });

  describe('in a fleet', () => {
    let fleet: TestFleet;

    before(async () => {
      fleet = await TestFleet.start();
    });
    after(() => fleet.stop());

    it('limit the starts of each key, of tasks of any producer, and let stopped tasks give way', async () => {
      const prefix = fleet.newPrefix();
      const producer = fleet.producer({ keyPrefix: prefix });
      const started: string[] = [];
      const handler = defineHandler(call, ({ id }) => void started.push(id), { rate: { ...PER_DAY, by: ({ input }) => input.server } });
      const worker = await fleet.worker(prefix, [handler]);
      const plain = new Queue(call.queue, { connection: fleet.redis.client(), prefix: fleet.keys(prefix).bull(call.queue) });
      await plain.add(call.name, { server: 'x' }, { jobId: 'plain' });
      await until(
        () => started.length,
        (count) => count === 1,
      );
      const ids = ['x1', 'x2', 'x3', 'y1'];
      for (const id of ids) {
        await producer.enqueue(call, { server: id[0] ?? '' }, { id });
        if (id !== 'x2' && id !== 'x3') await producer.result(id);
      }
      assert.deepEqual(started, ['plain', 'x1', 'y1']);
      const lines = fleet.keys(prefix).limiter('line:rate:group:server#0:x');
      await until(
        () => fleet.client.zrange(lines, '0', '-1'),
        (line) => line.join() === 'x2,x3',
      );
      assert.equal((await producer.get('x2'))?.state, 'queued');
      assert.equal((await producer.stop('x2')).outcome, 'cancelled');
      assert.deepEqual(await fleet.client.zrange(lines, '0', '-1'), ['x3']);
      // The bucket of another limit is larger: a worker with it starts.
      await worker.stop();
      const wider = defineHandler(call, ({ id }) => void started.push(id), {
        rate: { ...PER_DAY, limit: 100, burst: 100, by: ({ input }) => input.server },
      });
      await fleet.worker(prefix, [wider]);
      await producer.result('x3');
      await plain.close();
      await fleet.emptied(prefix);
    });
  });
});
