import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../worker/index.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { builtUrl } from '../support/process/built.js';
import { KEEP } from '../support/task/keep.js';
import { RecordedTelemetry, isChildOf } from '../support/telemetry/recorded-telemetry.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../worker/index.js');
const { openTelemetry } = (await import(builtUrl('dist/telemetry/index.js'))) as typeof import('../../telemetry/index.js');

const MODULE = `
import { context, trace } from '${import.meta.resolve('@opentelemetry/api')}';
import { AsyncLocalStorageContextManager } from '${import.meta.resolve('@opentelemetry/context-async-hooks')}';
import { isMainThread } from 'node:worker_threads';
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

if (!isMainThread) context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const child = defineTask({ name: 'thread.child', input: z.object({}) });
export default [
  defineHandler(child, () => undefined),
  defineHandler(defineTask({ name: 'thread.parent', input: z.object({}) }), async ({ enqueue, log }) => {
    log.info('From the thread');
    await enqueue(child, {});
    return trace.getActiveSpan()?.spanContext();
  }, { isolate: true }),
];
`;
const parent = defineTask({
  name: 'thread.parent',
  input: z.object({}),
  output: z.object({ traceId: z.string(), spanId: z.string() }),
  retention: KEEP,
});

describe('An attempt in a thread', () => {
  let fleet: TestFleet;
  let folder: string;
  const recorded = new RecordedTelemetry();

  before(async () => {
    recorded.register();
    fleet = await TestFleet.onOneServer();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-otel-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true });
    recorded.unregister();
  });

  it('continues its trace there, and in the children that it enqueues', async () => {
    const telemetry = openTelemetry({ tracerProvider: recorded.provider });
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix, telemetry });
    const worker = await createWorker({
      ...fleet.settings,
      ...{ keyPrefix, logLevel: 'silent', taskModules: [join(folder, 'tasks.mjs')], producer, telemetry },
    });
    await worker.start();
    try {
      const seen = await producer.result<{ traceId: string; spanId: string }>(await producer.enqueue(parent, {}));
      const [process] = await recorded.ended('process thread.parent');
      assert.deepEqual([seen.traceId, seen.spanId], [process?.spanContext().traceId, process?.spanContext().spanId]);
      const send = recorded.named('send thread').find(({ attributes }) => attributes['taskfleet.task.name'] === 'thread.child');
      assert.ok(process && send && isChildOf(send, process));
    } finally {
      await worker.stop();
    }
  });
});
