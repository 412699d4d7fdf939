import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';
import { serveDashboard } from '../serve-dashboard.js';

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
    /** Returns the HTTP status, the status in the body and the failed checks. */
    return async (): Promise<{ http: number; status: string; wrong: string[]; body: Readiness }> => {
      const { status: http, body } = await served.send('GET', '/fleet/readyz');
      const readiness = body as Readiness;
      return { http, status: readiness.status, wrong: readiness.checks.filter(({ ok }) => !ok).map(({ name }) => name), body: readiness };
    };
  }

  it('is degraded with status 200 without workers, ready with one, and names each problem', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const keys = createKeys(keyPrefix);
    const ask = await serve(t, fleet.producer({ keyPrefix }));
    const without = await until(ask, ({ http }) => http === 200);
    assert.deepEqual([without.http, without.status, without.wrong], [200, 'degraded', ['workers']]);
    assert.deepEqual(
      without.body.checks.map(({ name }) => name),
      ['redis', 'eviction', 'workers', 'losses', 'listeners', 'queues', 'takers', 'reconciler', 'log'],
    );

    const worker = await fleet.worker(keyPrefix, [], { heartbeatMs: 600_000 });
    await until(
      () => fleet.client.hget(keys.worker(worker.id), 'subscribed'),
      (subscribed) => subscribed === '1',
    );
    const ready = await until(ask, ({ status }) => status === 'ready');
    assert.deepEqual([ready.http, ready.status, ready.wrong], [200, 'ready', []]);

    const loss = (by: string) => JSON.stringify({ at: Date.now(), worker: by, task: 'task-1', name: 'report.build', queue: 'report' });
    await fleet.client.lpush(keys.losses, loss('a'), 'garbage', '{"at":1}', loss('b'));
    const dangerous = await until(ask, ({ status }) => status === 'degraded');
    assert.deepEqual(
      [dangerous.wrong, dangerous.body.checks.find(({ name }) => name === 'losses')?.detail],
      [['losses'], 'report.build task-1 lost 2 workers within the last hour'],
    );
    await fleet.client.del(keys.losses);
    await until(ask, ({ status }) => status === 'ready');

    await fleet.client.hset(keys.worker(worker.id), 'log_error', 'ENOSPC');
    const mute = await until(ask, ({ status }) => status === 'degraded');
    assert.deepEqual(
      [mute.status, mute.wrong, mute.body.checks.at(-1)?.detail],
      ['degraded', ['log'], '1 of 1 workers cannot write their log: ENOSPC'],
    );
    await fleet.client.hdel(keys.worker(worker.id), 'log_error');

    await fleet.client.hset(keys.worker(worker.id), {
      subscribed: 0,
      started_at: Date.now() - 120_000,
      broken: JSON.stringify([{ queue: 'chat', problem: 'p:bull:chat:wait holds a hash' }]),
    });
    await fleet.client.hset(keys.reconcile, 'at', Date.now() - 120_000);
    const worse = await until(ask, ({ wrong }) => wrong.includes('reconciler'));
    assert.deepEqual([worse.http, worse.status, worse.wrong], [200, 'degraded', ['listeners', 'queues', 'reconciler']]);
    assert.equal(
      worse.body.checks.find(({ name }) => name === 'queues')?.detail,
      'cannot fetch from queue chat: p:bull:chat:wait holds a hash',
    );
    assert.match(worse.body.checks.find(({ name }) => name === 'reconciler')?.detail ?? '', /^last run 1[2-9]\d s ago$/);
  });

  it('is degraded while the log cannot be written, and counts the lost lines', async (t) => {
    const lines: string[] = [];
    let full = true;
    const write = (line: string): void => {
      if (full) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      lines.push(line);
    };
    const loggers = createLoggerFactory({ settings: resolveSettings({}), destination: { write } });
    const served = await serveDashboard(fleet.producer(), { loggers });
    t.after(() => served.close());
    const look = async () => ((await served.send('GET', '/fleet/readyz')).body as Readiness).checks.find(({ name }) => name === 'log');
    assert.deepEqual(await look(), { name: 'log', ok: true, detail: 'writable' });
    loggers('dashboard').warn('lost');
    assert.deepEqual(await until(look, (log) => log?.ok === false), {
      name: 'log',
      ok: false,
      detail: 'log lines lost by this process: 1; cannot write the log: ENOSPC',
    });
    full = false;
    loggers('dashboard').warn('written');
    assert.deepEqual(await until(look, (log) => log?.ok === true), {
      name: 'log',
      ok: true,
      detail: 'log lines lost by this process: 1',
    });
    assert.match(lines.join(''), /"lost":1.*\n.*"written"/);
  });

  it('is degraded if Redis may evict tasks, and answers 503 without Redis', async (t) => {
    const own = await TestFleet.start({ extraArgs: ['--maxmemory-policy', 'allkeys-lru'] });
    t.after(() => own.stop());
    const producer = own.producer();
    const ask = await serve(t, producer);
    const evicting = await until(ask, ({ http }) => http === 200);
    assert.deepEqual([evicting.http, evicting.status], [200, 'degraded']);
    assert.match(evicting.body.checks.find(({ name }) => name === 'eviction')?.detail ?? '', /allkeys-lru/);

    await own.redis.kill();
    const away = await until(ask, ({ http }) => http === 503);
    assert.deepEqual(
      [away.http, away.body],
      [503, { status: 'unready', checks: [{ name: 'redis', ok: false, detail: 'did not answer in time' }] }],
    );
    await own.redis.restart();
    await until(ask, ({ http }) => http === 200);
    await producer.close();
    assert.deepEqual((await until(ask, ({ http }) => http === 503)).body, {
      status: 'unready',
      checks: [{ name: 'redis', ok: false, detail: 'closed: this process is shutting down' }],
    });
  });

  it('reads Redis once for all requests within a second', async (t) => {
    const producer = fleet.producer();
    let asked = 0;
    const ping = producer.ping.bind(producer);
    producer.ping = () => {
      asked += 1;
      return ping();
    };
    const ask = await serve(t, producer);
    const start = performance.now();
    const clock = t.mock.method(performance, 'now', () => start);
    const answers = [...(await Promise.all(Array.from({ length: 50 }, ask))), await ask()];
    assert.equal(asked, 1);
    for (const { body } of answers) assert.deepEqual(body, answers[0]?.body);
    clock.mock.mockImplementation(() => start + 1_000);
    await ask();
    assert.equal(asked, 2);
  });
});
