import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runNpm } from '../../support/examples/npm.js';
import { runCommand, startCommand } from '../../support/process/command.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { Collector } from '../../support/telemetry/collector.js';

/** The newest SDK for the oldest Node that this package supports. */
const SDK = ['@opentelemetry/api@1.9.1', '@opentelemetry/sdk-node@0.222.0'];

describe('OpenTelemetry in the command', () => {
  let redis: TestRedis;
  let folder: string;
  let collector: Collector;

  before(async () => {
    redis = await startTestRedis();
    collector = await Collector.start();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-otel-'));
    await writeFile(join(folder, 'package.json'), '{ "private": true }');
    await runNpm(folder, ['install', ...SDK, '--ignore-scripts']);
  });
  after(async () => {
    collector.stop();
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const env = () => ({
    REDIS_URL: redis.url,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    // Nothing is exported before the end, so that only the flush at the shutdown can have sent it.
    ...{ OTEL_BSP_SCHEDULE_DELAY: '600000', OTEL_METRIC_EXPORT_INTERVAL: '600000', OTEL_METRIC_EXPORT_TIMEOUT: '30000' },
  });

  it('exports the spans of a dashboard and a worker, the last ones at SIGTERM', async () => {
    const worker = startCommand(['worker'], { env: env(), cwd: folder });
    const dashboard = startCommand(['dashboard', '--port', '0'], { env: { ...env(), OTEL_SERVICE_NAME: 'desk' }, cwd: folder });
    await worker.waitForLine(/OpenTelemetry is on/);
    await worker.waitForLine(/Worker is ready/);
    const [, address] = await dashboard.waitForLine(/"url":"(http:[^"]+)"/);
    const response = await fetch(`${address}/api/v1/tasks`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
      body: JSON.stringify({ name: 'fleet.canary', input: { run_ms: 0 }, item: 'x' }),
    });
    const { id } = (await response.json()) as { id: string };
    assert.equal((await runCommand(['task', 'watch', id], { env: { REDIS_URL: redis.url } })).code, 0);
    worker.kill();
    dashboard.kill();
    assert.deepEqual(
      [await worker.exit, await dashboard.exit].map(({ code }) => code),
      [0, 0],
    );

    const send = await collector.span('send fleet');
    const process = await collector.span('process fleet.canary');
    const request = await collector.span('POST /api/v1/tasks');
    assert.equal(send.traceId, '0af7651916cd43dd8448eb211c80319c');
    assert.equal(send.parentSpanId, request.spanId);
    assert.deepEqual(
      process.links.map(({ spanId }) => spanId),
      [send.spanId],
    );
    assert.deepEqual([process.service, send.service], ['taskfleet-worker', 'desk']);
    for (const name of ['messaging.process.duration', 'messaging.client.sent.messages']) assert.ok(collector.metrics.has(name), name);
  });

  it('ends in time if the collector does not answer', async () => {
    const worker = startCommand(['worker'], {
      env: { ...env(), OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', SHUTDOWN_TIMEOUT_MS: '0' },
      cwd: folder,
    });
    await worker.waitForLine(/Worker is ready/);
    worker.kill();
    assert.equal((await worker.exit).code, 0);
  });

  it('warns without the packages, and prints spans with the console exporter', async () => {
    const bare = await mkdtemp(join(tmpdir(), 'taskfleet-bare-'));
    const missing = startCommand(['worker'], { env: env(), cwd: bare });
    await missing.waitForLine(/OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed.*npm install @opentelemetry\/api/);
    await missing.waitForLine(/Worker is ready/);
    await missing.stop();
    await rm(bare, { recursive: true });
    const off = startCommand(['worker'], { env: { ...env(), OTEL_SDK_DISABLED: 'true' }, cwd: folder });
    await off.waitForLine(/Worker is ready/);
    await off.stop();
    assert.doesNotMatch(off.stderr.text, /OpenTelemetry/);
    const printing = startCommand(['worker'], { env: { REDIS_URL: redis.url, OTEL_TRACES_EXPORTER: 'console' }, cwd: folder });
    await printing.waitForLine(/Worker is ready/);
    const enqueue = ['task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":0}', '--wait'];
    assert.equal((await runCommand(enqueue, { env: { REDIS_URL: redis.url } })).code, 0);
    await printing.stop();
    assert.match(printing.stdout.text, /name: 'process fleet\.canary'/);
  });
});
