import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DashboardServer } from '../../../dashboard/server.js';
import type { Producer } from '../../../producer/index.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../../shared/store.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type CliRun, runCli, startCli } from '../../support/process/run-cli.js';
import { until } from '../../support/until.js';

const LEAVE = '\u001b[?25h\u001b[?1049l';

describe('taskfleet top', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let env: Record<string, string>;

  before(async () => {
    fleet = await TestFleet.onOneServer();
    const keyPrefix = fleet.newPrefix();
    env = { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: keyPrefix, NO_COLOR: '1' };
    await fleet.worker(keyPrefix, []);
    producer = fleet.producer({ keyPrefix });
  });
  after(() => fleet.stop());

  /** Starts `top` beside two running tasks, the older one first. */
  async function start(
    t: { after(end: () => Promise<unknown>): void },
    ids: readonly string[],
    more: Record<string, string> = {},
  ): Promise<CliRun> {
    for (const id of ids) {
      await producer.enqueue(fleetCanary, { run_ms: 600_000 }, { id, item: `item-${id}` });
      for await (const event of producer.events(id)) if (event.type === 'state' && event.state === 'running') break;
    }
    const top = startCli(['top', '--interval', '1'], { env: { ...env, ...more }, terminal: true });
    t.after(() => {
      top.kill('SIGTERM');
      return top.exit;
    });
    await top.waitForLine(/taskfleet top {2}\d\d:\d\d:\d\d {2}2 running/);
    return top;
  }

  async function quit(top: CliRun, keys: string): Promise<void> {
    top.press(keys);
    assert.deepEqual((await top.exit).code, 0);
    assert.ok(top.stdout.text.endsWith(LEAVE), 'the terminal is as it was');
  }

  it('shows queues, workers and running tasks; keys select a task and stop it once confirmed', async (t) => {
    const top = await start(t, ['older', 'newer']);
    await top.waitForLine(/^NAME +STATE +QUEUED/);
    await top.waitForLine(/^fleet +running +0 +0 +2 /);
    await top.waitForLine(/^ID +STATE +BUSY/);
    await top.waitForLine(/^> older +fleet\.canary +running +\d+s +1 .*item-older/);
    top.press('j');
    await top.waitForLine(/^> newer /);
    top.press('s');
    await top.waitForLine(/Stop fleet\.canary newer\? y stops it, any other key does not\./);
    top.press('n');
    await top.waitForLine(/Did not stop newer\./);
    assert.equal((await producer.get('newer'))?.state, 'running');
    top.press('sy');
    await top.waitForLine(/newer: cancelled via signal in /);
    await top.waitForLine(/^> older /);
    assert.deepEqual((await producer.get('newer'))?.stop?.reason, 'stopped in taskfleet top');
    await top.waitForLine(/taskfleet top {2}\d\d:\d\d:\d\d {2}1 running/);
    await quit(top, 'q');
    await producer.stop('older', { waitMs: 60_000 });
  });

  it('works over the API, and ends with Ctrl+C', async (t) => {
    const settings = resolveSettings({
      ...fleet.settings,
      keyPrefix: env['REDIS_KEY_PREFIX'],
      apiPort: 0,
      logLevel: 'silent',
    }) as ConnectedSettings;
    const server = new DashboardServer({ settings, producer, loggers: createLoggerFactory({ settings }), definitions: [] });
    await server.start();
    t.after(() => server.stop());
    const top = await start(t, ['api-1', 'api-2'], { TASKFLEET_API: server.url });
    await top.waitForLine(/^> api-1 /);
    top.press('\u001b[Bsy');
    await top.waitForLine(/api-2: cancelled via signal/);
    await quit(top, '\u0003');
    await producer.stop('api-1', { waitMs: 60_000 });
  });

  it('needs a terminal, and a fleet that answers at the start', async () => {
    const [pipe, away] = await Promise.all([
      runCli(['top'], { env }),
      runCli(['top'], { env: { REDIS_URL: 'redis://127.0.0.1:1' }, terminal: true }),
    ]);
    assert.deepEqual([pipe.code, away.code, away.stdout], [2, 69, '']);
    assert.match(pipe.stderr, /^taskfleet: top needs a terminal\. For scripts: task list --watch/);
  });
});

describe('taskfleet top while Redis is away', () => {
  it('says since when it is stale, refuses to stop tasks, and goes on when Redis is back', async (t) => {
    const fleet = await TestFleet.onOneServer();
    t.after(() => fleet.stop());
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, []);
    await producer.enqueue(fleetCanary, { run_ms: 600_000 }, { id: 'kept' });
    const env = { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: keyPrefix, NO_COLOR: '1' };
    const top = startCli(['top', '--interval', '1'], { env, terminal: true });
    await top.waitForLine(/^> kept /);
    await fleet.redis.kill();
    await top.waitForLine(/stale since \d\d:\d\d:\d\d: Redis at /);
    top.press('s');
    await top.waitForLine(/Not while the fleet does not answer\./);
    const shown = top.stdout.lines.length;
    await fleet.redis.restart();
    await until(
      () => Promise.resolve(top.stdout.lines.slice(shown).some((line) => line.includes('taskfleet top  '))),
      (isFresh) => isFresh,
    );
    top.kill('SIGHUP');
    assert.equal((await top.exit).code, 0);
    assert.ok(top.stdout.text.endsWith(LEAVE));
  });
});
