import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { EMPTY_REGISTRY, TestFleet } from '../../../support/fleet/test-fleet.js';
import { built } from '../../../support/process/built.js';
import { spawnNode } from '../../../support/process/processes.js';

const fleet = await TestFleet.onOneServer();
after(() => fleet.stop());

const PROCESSES = 4;
const KEYS = Array.from({ length: 25 }, (_, n) => `doc-${n}`);
const HOUR_MS = 3_600_000;

for (const dedupe of [{ mode: 'while-live' }, { mode: 'throttle', withinMs: HOUR_MS }, { mode: 'debounce', withinMs: HOUR_MS }] as const) {
  test(`four processes that enqueue 52 tasks for each of 25 keys at once add one for each: ${dedupe.mode}`, async () => {
    const prefix = fleet.newPrefix();
    const env = { REDIS_URL: fleet.redis.url, PREFIX: prefix, KEYS: KEYS.join(), ROUNDS: '13', DEDUPE: JSON.stringify(dedupe) };
    const enqueuers = Array.from({ length: PROCESSES }, () => spawnNode([built('test/slow/scenario/dedupe/dedupe-enqueuer.mjs')], { env }));
    await Promise.all(enqueuers.map((one) => one.waitForLine(/^ready$/)));
    await fleet.client.lpush('go', ...enqueuers.map(() => 1));
    await Promise.all(enqueuers.map((one) => one.exit));
    const answers = enqueuers.flatMap(
      ({ stdout }) => JSON.parse(stdout.lines.at(-1) ?? '[]') as [id: string, item: string, duplicate: boolean][],
    );
    assert.equal(answers.length, PROCESSES * 13 * KEYS.length);
    for (const key of KEYS) {
      const ofKey = answers.filter(([, item]) => item === key);
      assert.equal(new Set(ofKey.map(([id]) => id)).size, 1, key);
      assert.equal(ofKey.filter(([, , duplicate]) => !duplicate).length, 1, key);
    }
    const sizes = { tasks: KEYS.length, queues: KEYS.length, live: KEYS.length, items: KEYS.length };
    assert.deepEqual(await fleet.registrySize(prefix), { ...EMPTY_REGISTRY, ...sizes });
    const producer = fleet.producer({ keyPrefix: prefix });
    await producer.stop([...new Set(answers.map(([id]) => id))]);
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
    assert.deepEqual(await fleet.client.keys(`${prefix}:bull:note:de:*`), []);
  });
}
