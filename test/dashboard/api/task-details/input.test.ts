import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../../index.js';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { freshApi } from '../fresh-api.js';
import type { SendOptions, Sent, ServedApi } from '../serve-api.js';

const fleet = await TestFleet.start();
const report = defineTask({
  name: 'report.write',
  input: z.any(),
  concurrency: { limit: 3, by: 'item' },
  rate: { limit: 5, per: 1_000 },
});
let api: ServedApi;
let producer: Producer;
let keyPrefix: string;
freshApi(fleet, (fresh) => ({ api, producer, keyPrefix } = fresh));
after(() => fleet.stop());

const read = (id: string, as: SendOptions['as'] = 'operator'): Promise<Sent> => api.send('GET', `/tasks/${id}/input`, { as });

test('operators read the input of the tasks that they see, others do not', async () => {
  const input = { text: 'Guten Tag', options: { apiKey: 'sk-1', pages: [1, 2] } };
  await producer.enqueue(report, input, { id: 'theirs', item: 'yours' });
  assert.deepEqual((await read('theirs')).body, {
    input: { ...input, options: { apiKey: '***', pages: [1, 2] } },
    ...{ bytes: JSON.stringify(input).length, cut: false, censored: ['options.apiKey'], problem: null },
  });
  for (const as of ['viewer', 'submitter', 'owner'] as const) assert.equal((await read('theirs', as)).status, 403);
  assert.equal((await read('theirs', 'steward')).status, 404);
  assert.equal((await read('nobody')).status, 404);
  await producer.enqueue(report, {}, { id: 'mine', item: 'mine-1' });
  assert.equal((await read('mine', 'steward')).status, 200);
});

test('a big input is cut, a huge one is not read, and an unreadable one says why', async () => {
  await producer.enqueue(report, { text: 'x'.repeat(100_000) }, { id: 'big' });
  const { bytes, cut, input } = (await read('big')).body as { bytes: number; cut: boolean; input: { text: string } };
  assert.deepEqual([bytes, cut, input.text.length < 3_000], [100_011, true, true]);
  assert.match(input.text, /… \(cut: 100000 bytes\)$/);
  const job = (id: string): string => `${createKeys(keyPrefix).jobs('report')}${id}`;
  await fleet.client.hset(job('big'), 'data', `"${'x'.repeat(9 * 1_048_576)}"`);
  assert.deepEqual((await read('big')).body, { input: null, bytes: 9 * 1_048_576 + 2, cut: true, censored: [], problem: null });
  await fleet.client.hset(job('big'), 'data', '{"half');
  assert.match(String(((await read('big')).body as { problem: string }).problem), /^data: expected JSON/);
});

test('a task has its priority, its deadline and the limits that apply to it, which a list leaves out', async () => {
  const deadline = new Date(Date.now() + 3_600_000);
  await producer.enqueue(report, {}, { id: 'limited', item: 'chat-1', priority: 4, deadline });
  const limits = [
    { kind: 'concurrency', name: 'report.write', key: 'chat-1', limit: 3, per_ms: null },
    { kind: 'rate', name: 'report.write', key: null, limit: 5, per_ms: 1_000 },
  ];
  const task = (await api.send('GET', '/tasks/limited')).body as Record<string, unknown>;
  assert.deepEqual([task['priority'], task['deadline'], task['limits']], [4, deadline.toISOString(), limits]);
  const [listed] = ((await api.send('GET', '/tasks')).body as { tasks: Record<string, unknown>[] }).tasks;
  assert.deepEqual([listed?.['priority'], listed?.['deadline'], listed?.['limits']], [4, deadline.toISOString(), null]);
});
