import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../producer/index.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import { resolveSettings } from '../../shared/settings/settings.js';
import { openStore, type Store } from '../../shared/store.js';
import { Reconciler } from '../../worker/builtin/reconcile/reconciler.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { type Seeded, badKeys } from './corpus.js';
import { seed, whileSpoilt } from './seeded-fleet.js';

const GRACE_MS = 3_600_000;

describe('A corrupt record affects no other task', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let store: Store;
  let seeded: Seeded;
  const log = new LogLines('info');
  const work = new ScriptedTask('corpus.work', { queue: 'work' });

  before(async () => {
    fleet = await TestFleet.onOneServer();
    const keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    const settings = resolveSettings({ ...fleet.settings, keyPrefix, logLevel: 'info' }) as ConnectedSettings;
    store = openStore({ settings, policy: 'wait', loggers: log.loggers, name: 'test' });
    await fleet.worker(keyPrefix, [work.handler], { loggers: log.loggers, heartbeatMs: 100, stopPollMs: 100, reconcileMs: 600_000 });
    seeded = await seed(fleet, producer);
  });
  after(async () => {
    await store.close();
    await fleet.stop();
  });

  it('the reconciler completes and a worker runs the tasks of other queues with each record of the corpus', async () => {
    const queue = producer.store.queues.get('work');
    const failures: string[] = [];
    let calls = 0;
    for (const bad of badKeys(store.keys, seeded, process.env['CORPUS'] === 'all')) {
      const attempt = whileSpoilt(fleet, bad, async () => {
        await new Reconciler({ store, graceMs: GRACE_MS, logger: log.loggers('worker') }).run();
        await queue.add('corpus.work', {}, { removeOnComplete: true });
        (await work.call(calls)).returns();
        calls += 1;
      });
      await attempt.catch((error: Error) => failures.push(error.message));
    }
    assert.equal(failures.join('\n'), '');
    assert.equal((await producer.get(seeded.good))?.state, 'queued');
    const records = log.lines
      .filter(({ msg }) => msg.startsWith('Cannot read a record in Redis'))
      .map(({ key, id, component }) => JSON.stringify([component, key, id]));
    // The stores of test and worker stand for two processes.
    assert.ok(records.length <= 2 * new Set(records).size, 'at most one line for each record and store');
    assert.ok(log.lines.length < 10 * calls, `${log.lines.length} lines for ${calls} records`);
  });
});
