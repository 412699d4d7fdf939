import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { Store } from '../../../shared/store.js';
import { type AnyDefinition, type TaskOptions, defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { digestOf, summaryOf } from '../../../shared/workers/definitions.js';
import { type WorkerRecord, workerOf } from '../../../shared/workers/heartbeats.js';
import { publishDefinitions, publishProduced, readDifferences } from '../../../shared/workers/published-definitions.js';
import { BUILTIN_DEFINITIONS } from '../../../worker/builtin/definitions.js';
import { checkHandler } from '../../../worker/modules/check-handler.js';
import { loadTaskModules } from '../../../worker/task-modules.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const RICH = {
  ...{ name: 'report.make', queue: 'report', shards: 2, timeoutMs: 9_000, deadlineMs: 60_000, retryOnTimeout: true },
  input: z.object({ tenant: z.string(), n: z.number().default(1) }),
  output: z.string(),
  chunk: z.number(),
  retry: { attempts: 4, backoff: { type: 'fixed' } },
  concurrency: [
    { by: ({ item }) => item, limit: 2 },
    { limit: 9, group: 'gpu' },
  ],
  rate: { limit: 5, per: 1_000 },
  fair: { by: 'item' },
  dedupe: { by: ({ item }) => item, mode: 'throttle', withinMs: 500 },
  tags: ['tenant:7'],
} as const satisfies Partial<TaskOptions<unknown, unknown>> & { readonly name: string; readonly input: unknown };

const rich = (more: object = {}): AnyDefinition => defineTask({ ...RICH, ...more });
const digest = (definition: AnyDefinition): string => digestOf(summaryOf(definition));

describe('The digest of a definition', () => {
  it('is that of the copy that a worker makes', async () => {
    const definition = rich();
    assert.equal(digest(checkHandler(defineHandler(definition, () => 'x')).definition), digest(definition));
    const { handlers } = await loadTaskModules(resolveSettings({}), '.');
    for (const [name, handler] of handlers)
      assert.equal(digest(handler.definition), digest(BUILTIN_DEFINITIONS.find((one) => one.name === name) as AnyDefinition), name);
  });

  it('changes with each option, and with each schema', () => {
    const changes: readonly object[] = [
      { queue: 'reports' },
      { shards: 3 },
      { timeoutMs: 9_001 },
      { deadlineMs: undefined },
      { retryOnTimeout: false },
      { input: z.object({ tenant: z.string(), n: z.string().default('1') }) },
      { output: z.number() },
      { chunk: undefined },
      { retry: { attempts: 5 } },
      { onWorkerLost: { retries: 1 } },
      { retention: { completed: { count: 3 } } },
      { concurrency: [] },
      { rate: [] },
      { fair: undefined },
      { dedupe: undefined },
      { tags: [] },
    ];
    const digests = [{}, ...changes].map((change) => digest(rich(change)));
    assert.equal(new Set(digests).size, digests.length, digests.join());
  });

  it('is there for a schema that JSON Schema cannot represent', () => {
    const definition = defineTask({ name: 'odd.task', input: z.custom<Map<string, string>>((value) => value instanceof Map) });
    assert.match(digest(definition), /^[0-9a-f]{12}$/);
  });
});

describe('Differences of definitions', () => {
  let fleet: TestFleet;
  let store: Store;

  before(async () => {
    fleet = await TestFleet.start();
    store = fleet.store();
    await store.redis.ping();
  });
  after(() => fleet.stop());

  const worker = (id: string, ...definitions: AnyDefinition[]): WorkerRecord =>
    workerOf(id, '1', { definitions: JSON.stringify(Object.fromEntries(definitions.map((one) => [one.name, digest(one)]))) });

  it('name the options, the workers and the producers', async () => {
    const [old, now] = [rich(), rich({ timeoutMs: 5_000, tags: ['x'] })];
    await publishDefinitions(store, [old, now]);
    const workers = [worker('a', old), worker('b', now), worker('c', now)];
    assert.deepEqual(await readDifferences(store, workers), [
      {
        name: 'report.make',
        fields: ['tags', 'timeoutMs'],
        versions: [
          { digest: digest(old), workers: ['a'], producers: false },
          { digest: digest(now), workers: ['b', 'c'], producers: false },
        ],
      },
    ]);
    assert.deepEqual(await readDifferences(store, [worker('b', now), worker('c', now)]), []);
    await publishProduced(store, old);
    assert.deepEqual(
      (await readDifferences(store, [worker('b', now)])).map(({ versions }) => versions),
      [
        [
          { digest: digest(now), workers: ['b'], producers: false },
          { digest: digest(old), workers: [], producers: true },
        ],
      ],
    );
  });

  it('are found although what Redis has of them is garbage', async () => {
    const [old, now] = [rich({ name: 'odd.make' }), rich({ name: 'odd.make', timeoutMs: 1 })];
    await store.redis.set(store.keys.definition(digest(old)), '{"name":');
    await store.redis.lpush(store.keys.definition(digest(now)), 'a list');
    await store.redis.zadd(store.keys.definitions, 1, 'odd.make', 2, 'odd.make:NOT-HEX', 3, '\0:ab', 4, 'odd.make:ab:cd');
    const broken = [workerOf('x', '1', { definitions: '[1]' }), workerOf('y', '1', { definitions: '{"odd.make":7}' })];
    const [difference] = await readDifferences(store, [worker('a', old), worker('b', now), ...broken]);
    assert.deepEqual([difference?.name, difference?.fields, difference?.versions.length], ['odd.make', [], 2]);
    await store.redis.del(store.keys.definitions);
    await store.redis.set(store.keys.definitions, 'no sorted set');
    assert.equal((await readDifferences(store, [worker('a', old), worker('b', now)])).length, 1);
  });

  it('come from the enqueues of a producer, published once for many tasks', async () => {
    const keyPrefix = fleet.newPrefix();
    const keys = fleet.keys(keyPrefix);
    const producer = fleet.producer({ keyPrefix });
    const definition = rich();
    for (let n = 0; n < 3; n += 1) await producer.enqueue(definition, { tenant: '7' }, { item: `i${n}` });
    await producer.ping();
    assert.deepEqual(await fleet.client.zrange(keys.definitions, '0', '-1'), [`report.make:${digest(definition)}`]);
    assert.equal(JSON.parse((await fleet.client.get(keys.definition(digest(definition)))) ?? '{}').timeoutMs, 9_000);
  });
});
