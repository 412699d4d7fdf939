import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

interface Refusal {
  readonly start: (client: Redis) => Promise<unknown>;
  readonly end: (client: Redis) => Promise<unknown>;
}

/** Ways to make Redis refuse writes, and accept them again. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  READONLY: { start: (client) => client.replicaof('127.0.0.1', 1), end: (client) => client.replicaof('NO', 'ONE') },
  NOREPLICAS: {
    start: (client) => client.config('SET', 'min-replicas-to-write', '1'),
    end: (client) => client.config('SET', 'min-replicas-to-write', '0'),
  },
  OOM: { start: (client) => client.config('SET', 'maxmemory', '1'), end: (client) => client.config('SET', 'maxmemory', '0') },
};
/** Locks with room for a reconnect on a busy machine. */
const LOCK_MS = 30_000;
/** Duration of the refusal: beyond the lock time the task could be lost. */
const REFUSED_MS = 1_000;

describe('While Redis refuses writes', { concurrency: 3 }, () => {
  for (const [code, { start, end }] of Object.entries(REFUSALS)) {
    for (const [how, finish] of [
      ['returns', 'completed'],
      ['throws', 'failed'],
    ] as const) {
      it(`with ${code}, a task that ${how} is settled once, after Redis accepts writes again`, async () => {
        const fleet = await TestFleet.start();
        try {
          const prefix = fleet.newPrefix();
          const task = new ScriptedTask('refused.task', { retry: { attempts: 2, backoff: { delayMs: 0 } } });
          const log = new LogLines();
          await fleet.worker(prefix, [task.handler], { lockMs: LOCK_MS, stalledCheckMs: 500, loggers: log.loggers });
          const producer = fleet.producer({ keyPrefix: prefix });
          const { id } = await producer.enqueue(task.definition, {}, { item: 'a' });
          const call = await task.call();
          await start(fleet.client);
          if (how === 'returns') call.returns('once');
          else call.throws(Object.assign(new Error('no'), { name: 'UnrecoverableError' }));
          if (code === 'NOREPLICAS') await log.waitFor(/Redis refuses to record a result/);
          else await delay(REFUSED_MS);
          await end(fleet.client);
          const ended = await until(
            () => producer.get(id).catch(() => null),
            (view) => view?.state === finish,
          );
          assert.deepEqual(
            [ended?.result ?? undefined, ended?.error ?? undefined],
            how === 'returns' ? ['once', undefined] : [undefined, 'no'],
          );
          await fleet.emptied(prefix);
          assert.equal(task.calls.length, 1);
          assert.deepEqual(log.find(/lock was gone|stalled/i), []);
        } finally {
          await fleet.stop();
        }
      });
    }
  }

  it('because memory is full, a running task keeps its lock and finishes normally', async () => {
    const fleet = await TestFleet.start();
    try {
      const prefix = fleet.newPrefix();
      const task = new ScriptedTask('refused.task');
      await fleet.worker(prefix, [task.handler], { lockMs: 4_000, stalledCheckMs: 500 });
      const producer = fleet.producer({ keyPrefix: prefix });
      const { id } = await producer.enqueue(task.definition, {});
      const call = await task.call();
      await REFUSALS['OOM']?.start(fleet.client);
      const lock = `${fleet.keys(prefix).jobs('refused')}${id}:lock`;
      const held = await fleet.client.pexpiretime(lock);
      await until(
        () => fleet.client.pexpiretime(lock),
        (at) => at > held + 4_000 || at < 0,
        { everyMs: 10 },
      );
      assert.equal(call.context.signal.aborted, false);
      call.returns('without memory');
      await until(
        async () => (await producer.get(id))?.state,
        (state) => state === 'completed',
      );
      await REFUSALS['OOM']?.end(fleet.client);
      assert.equal(await producer.result(id), 'without memory');
      assert.equal(task.calls.length, 1);
    } finally {
      await fleet.stop();
    }
  });

  it('a worker retries fetches about once a second, logs one warning, and recovers', async () => {
    const fleet = await TestFleet.start();
    try {
      const prefix = fleet.newPrefix();
      const task = new ScriptedTask('refused.task');
      const log = new LogLines();
      await fleet.worker(prefix, [task.handler], { loggers: log.loggers });
      const producer = fleet.producer({ keyPrefix: prefix });
      await producer.enqueue(task.definition, {}, { delay: 300 });
      await REFUSALS['NOREPLICAS']?.start(fleet.client);
      await until(
        () => log.find(/Redis refuses fetches/),
        (lines) => lines.some(({ queue }) => queue === 'refused'),
      );
      await fleet.client.config('RESETSTAT');
      await delay(3_000);
      const { evalsha = 0 } = await fleet.commandCounts();
      assert.ok(evalsha < 100, `${evalsha} scripts in 3 s`);
      await REFUSALS['NOREPLICAS']?.end(fleet.client);
      (await task.call()).returns();
      const said = log.find(/Redis refuses fetches/).filter(({ queue }) => queue === 'refused');
      assert.ok(said.length === 1, `said ${said.length} times`);
    } finally {
      await fleet.stop();
    }
  });
});
