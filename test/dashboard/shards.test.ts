import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../shared/task/definition.js';
import { shardOf, shardsOf } from '../../shared/task/shards.js';
import { samplesOf, valuesOf } from '../support/fleet/metrics-page.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { serveApi } from './api/serve-api.js';
import { serveDashboard } from './serve-dashboard.js';
import { TestDashboard } from './test-dashboard.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.unknown(), retention: KEEP, shards: 3 });
const tasks = Array.from({ length: 30 }, (_, n) => ({ input: {}, id: `id-${n}` }));
const SHARDS = shardsOf(note);

test("the API filters by queue or shard, and shows a task's shard and the number of shards", async (t) => {
  const producer = fleet.producer();
  const api = await serveApi({ producer, definitions: [note] });
  t.after(() => api.close());
  await producer.enqueueMany(note, tasks);
  const list = async (queue: string): Promise<{ id: string; queue: string }[]> =>
    ((await api.send('GET', `/tasks?queue=${queue}`)).body as { tasks: { id: string; queue: string }[] }).tasks;
  assert.equal((await list('note')).length, 30);
  for (const shard of SHARDS.slice(1)) {
    const listed = await list(shard);
    assert.deepEqual(
      listed.map(({ id }) => id).toSorted(),
      tasks.flatMap(({ id }) => (shardOf(note, id) === shard ? [id] : [])).toSorted(),
    );
    assert.ok(listed.length > 0 && listed.every(({ queue }) => queue === shard));
  }
  const { definitions } = (await api.send('GET', '/definitions')).body as {
    definitions: { name: string; queue: string; shards: number }[];
  };
  assert.deepEqual(
    definitions.flatMap(({ name, queue, shards }) => (name === 'note.take' || name === 'fleet.canary' ? [[name, queue, shards]] : [])),
    [
      ['fleet.canary', 'fleet', 1],
      ['note.take', 'note', 3],
    ],
  );
});

test('the metrics sum the shards of a queue and show the longest wait', async (t) => {
  const keyPrefix = fleet.newPrefix();
  const keys = fleet.keys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  const served = await serveDashboard(producer);
  t.after(() => served.close());
  await producer.enqueueMany(note, tasks);
  await producer.enqueueMany(
    note,
    tasks.map(({ input, id }) => ({ input, id: `later-${id}`, delay: 60_000 })),
  );
  await producer.stop('id-0');
  const last = SHARDS[2] as string;
  const waiting = await fleet.client.lindex(`${keys.jobs(last)}wait`, -1);
  await fleet.client.hset(`${keys.jobs(last)}${waiting}`, 'timestamp', Date.now() - 90_000);
  const { text } = await served.send('GET', '/fleet/metrics');
  assert.deepEqual(valuesOf(text, 'taskfleet_queue_jobs'), {
    'queue=note,state=waiting': 29,
    'queue=note,state=delayed': 30,
    'queue=note,state=failed': 1,
  });
  assert.ok((samplesOf(text).get('taskfleet_queue_oldest_wait_seconds{queue="note"}') ?? 0) >= 90);
  assert.doesNotMatch(text, /\.shard-/);
});

test('the board lists each shard and pauses shards independently', async (t) => {
  const producer = fleet.producer();
  const dashboard = await TestDashboard.start(producer, {}, { definitions: [note] });
  t.after(() => dashboard.stop());
  await producer.enqueueMany(note, tasks);
  const ask = (method: string, path: string) => dashboard.send(method, `/board/api${path}`, { token: dashboard.tokens.operator });
  assert.equal((await ask('PUT', `/queues/${SHARDS[1]}/pause`)).status, 200);
  const { queues } = (await ask('GET', '/queues')).body as { queues: { name: string; isPaused: boolean }[] };
  assert.deepEqual(
    queues.map(({ name, isPaused }) => [name, isPaused]),
    SHARDS.map((name) => [name, name === SHARDS[1]]),
  );
});
