import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { Producer } from '../../producer/index.js';
import { createKeys } from '../../shared/keys.js';
import { TestFleet } from '../support/test-fleet.js';
import { until } from '../support/until.js';
import { serveDashboard } from './serve-dashboard.js';

interface Readiness {
  readonly status: string;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

describe('/readyz', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function serve(t: TestContext, producer: Producer) {
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    /** The status over HTTP, the status in the body, and what is not as it should be. */
    return async (): Promise<{ http: number; status: string; wrong: string[]; body: Readiness }> => {
      const { status: http, body } = await served.send('GET', '/fleet/readyz');
      const readiness = body as Readiness;
      return { http, status: readiness.status, wrong: readiness.checks.filter(({ ok }) => !ok).map(({ name }) => name), body: readiness };
    };
  }

  it('is degraded and 200 without workers, ready with one, and names what is wrong', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const keys = createKeys(keyPrefix);
    const ask = await serve(t, fleet.producer({ keyPrefix }));
    const without = await ask();
    assert.deepEqual([without.http, without.status, without.wrong], [200, 'degraded', ['workers']]);
    assert.deepEqual(without.body.checks.map(({ name }) => name), ['redis', 'eviction', 'workers', 'listeners', 'reconciler']);

    const worker = await fleet.worker(keyPrefix, [], { heartbeatMs: 600_000 });
    await until(() => fleet.client.hget(keys.worker(worker.id), 'subscribed'), (subscribed) => subscribed === '1');
    const ready = await ask();
    assert.deepEqual([ready.http, ready.status, ready.wrong], [200, 'ready', []]);

    await fleet.client.hset(keys.worker(worker.id), { subscribed: 0, started_at: Date.now() - 120_000 });
    await fleet.client.hset(keys.reconcile, 'at', Date.now() - 120_000);
    const worse = await ask();
    assert.deepEqual([worse.http, worse.status, worse.wrong], [200, 'degraded', ['listeners', 'reconciler']]);
    assert.match(worse.body.checks.at(-1)?.detail ?? '', /^last run 12\d s ago$/);
  });

  it('is degraded with a Redis that would drop tasks, and 503 with one that is away', async (t) => {
    const own = await TestFleet.start({ extraArgs: ['--maxmemory-policy', 'allkeys-lru'] });
    t.after(() => own.stop());
    const producer = own.producer();
    const ask = await serve(t, producer);
    const evicting = await ask();
    assert.deepEqual([evicting.http, evicting.status], [200, 'degraded']);
    assert.match(evicting.body.checks.find(({ name }) => name === 'eviction')?.detail ?? '', /allkeys-lru/);

    await own.redis.kill();
    const away = await ask();
    assert.deepEqual([away.http, away.body], [503, { status: 'unready', checks: [{ name: 'redis', ok: false, detail: 'did not answer in time' }] }]);
    await own.redis.restart();
    await until(ask, ({ http }) => http === 200);
    await producer.close();
    assert.deepEqual((await ask()).body, { status: 'unready', checks: [{ name: 'redis', ok: false, detail: 'closed: this process shuts down' }] });
  });
});
