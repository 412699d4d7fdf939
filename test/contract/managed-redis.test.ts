import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../index.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { runCli } from '../support/process/run-cli.js';

/** What at least one of ElastiCache, MemoryDB, Memorystore, Azure and Upstash refuses: see docs/compatibility.md. */
const REFUSED = [
  ...['acl', 'bgrewriteaof', 'bgsave', 'cluster', 'command', 'config', 'debug', 'failover', 'lastsave', 'latency', 'memory', 'migrate'],
  ...['module', 'monitor', 'object', 'psync', 'replicaof', 'role', 'save', 'shutdown', 'slaveof', 'slowlog', 'swapdb', 'sync'],
];

const echo = defineTask({ name: 'echo.say', input: z.object({ text: z.string() }), concurrency: { by: 'item', limit: 1 } });
const wait = defineTask({ name: 'echo.wait', input: z.object({}) });
const handlers = [
  defineHandler(echo, async ({ input, emit }) => emit(input.text)),
  defineHandler(wait, async ({ signal, emit }) => {
    emit('begun');
    await setTimeout(600_000, null, { signal });
  }),
];

let fleet: TestFleet;

before(async () => {
  fleet = await TestFleet.onOneServer({ appendonly: 'yes', config: REFUSED.map((command) => `rename-command ${command} ""`) });
});
after(() => fleet.stop());

test('a fleet runs, stops and schedules tasks on a Redis without administrative commands, and the doctor passes', async () => {
  const keyPrefix = fleet.newPrefix();
  await fleet.worker(keyPrefix, handlers);
  const producer = fleet.producer({ keyPrefix });

  const said = await producer.enqueue(echo, { text: 'hello' }, { item: 'chat-1' });
  await producer.result(said);
  const chunks = [];
  for await (const event of producer.events(echo, said.id)) if (event.type === 'chunk') chunks.push(event.chunk);
  assert.deepEqual(chunks, ['hello']);

  const { id } = await producer.enqueue(wait, {}, { item: 'chat-1' });
  for await (const event of producer.events(wait, id)) if (event.type === 'chunk') break;
  const [receipt] = await producer.stopItem('chat-1', { waitMs: 60_000 });
  assert.deepEqual([receipt?.outcome, receipt?.via], ['cancelled', 'signal']);

  await producer.schedules.upsert('often', echo, { text: 'again' }, { every: 60_000 });
  await producer.result(await producer.schedules.runNow('often'));

  const { code, stdout } = await runCli(['doctor'], { env: { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: keyPrefix } });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^ok +permissions/m);
});
