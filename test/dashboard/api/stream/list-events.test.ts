import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Change } from '../../../../dashboard/api/stream/live-list.js';
import { fleetCanary } from '../../../../index.js';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { until } from '../../../support/until.js';
import { type ServedApi, serveApi } from '../serve-api.js';
import { EventClient, type EventClientOptions } from './event-client.js';

const LOOK_MS = 20;
const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
let producer: Producer;
let api: ServedApi;
const clients: EventClient[] = [];
before(async () => {
  producer = fleet.producer({ keyPrefix });
  api = await serveApi({ producer, streams: { lookMs: LOOK_MS } });
});
afterEach(() => clients.splice(0).forEach((client) => client.leave()));
after(async () => {
  await api.close();
  await fleet.stop();
});

/** Opens a client and waits for its `ready` event. */
async function listen(options: EventClientOptions = {}): Promise<EventClient> {
  const client = await EventClient.open(api.port, '/events', options);
  clients.push(client);
  await client.until(([first]) => first?.event === 'ready');
  return client;
}

const changedOf = ({ heard }: EventClient, id: string): unknown[] =>
  heard
    .flatMap(({ data }) => (data['changed'] as { id: string; state: string }[] | undefined) ?? [])
    .flatMap((task) => (task.id === id ? [task.state] : []));
const removedOf = ({ heard }: EventClient): string[] => heard.flatMap(({ data }) => (data['removed'] as string[] | undefined) ?? []);
const add = (id: string, item?: string): Promise<unknown> => producer.enqueue(fleetCanary, {}, { id, item });

test('new tasks and finished tasks are reported', async () => {
  await add('before');
  const client = await listen();
  await add('one');
  await client.until(() => changedOf(client, 'one').length > 0);
  await producer.stop('one');
  await client.until(() => removedOf(client).includes('one'));
  const states = changedOf(client, 'one');
  assert.deepEqual([states[0], states.at(-1)], ['queued', 'cancelled']);
  // Unchanged tasks are not reported.
  assert.deepEqual(changedOf(client, 'before'), []);
});

test('only visible tasks are reported', async () => {
  const [guest, all] = [await listen({ as: 'guest' }), await listen()];
  await add('hidden', 'other-1');
  await all.until(() => changedOf(all, 'hidden').length > 0);
  await producer.stop('hidden');
  await add('seen', 'mine-1');
  await guest.until(() => changedOf(guest, 'seen').length > 0);
  await all.until(() => removedOf(all).includes('hidden') && changedOf(all, 'seen').length > 0);
  assert.doesNotMatch(JSON.stringify(guest.heard), /hidden|other/);
});

test('foreign tasks are reported too', async () => {
  const keys = createKeys(keyPrefix);
  const client = await listen();
  await fleet.client.hset(keys.tasks, 'foreign', 'chat-1');
  await client.until(() => changedOf(client, 'foreign').length > 0);
  await fleet.client.hdel(keys.tasks, 'foreign');
  await client.until(() => removedOf(client).includes('foreign'));
});

test('changes are short, whatever the handler reports, and unrestricted callers share the same bytes', async () => {
  const client = await listen();
  await add('talks');
  await fleet.client.hset(createKeys(keyPrefix).jobs('fleet') + 'talks', {
    progress: JSON.stringify('p'.repeat(5_000_000)),
    failedReason: 'e'.repeat(50_000),
  });
  await client.until(() => changedOf(client, 'talks').length > 0);
  const told = client.heard
    .flatMap(({ data }) => (data['changed'] as { id: string }[] | undefined) ?? [])
    .filter(({ id }) => id === 'talks');
  assert.ok(told.length > 0 && told.every((task) => JSON.stringify(task).length < 3_000), `${JSON.stringify(told).length} characters`);
  const change = new Change(
    [
      { item: 'a', text: '{"id":"x"}', state: 'x' },
      { item: 'b', text: '{"id":"y"}', state: 'y' },
    ],
    [],
  );
  assert.equal(change.whole(), change.whole());
  assert.deepEqual(
    [change.whole().toString(), change.part((item) => item === 'a'), change.part(() => false)],
    [
      'event: change\ndata: {"changed":[{"id":"x"},{"id":"y"}],"removed":[]}\n\n',
      'event: change\ndata: {"changed":[{"id":"x"}],"removed":[]}\n\n',
      null,
    ],
  );
});

test('all listeners share one poll; without listeners there is none', async () => {
  const many = await Promise.all(Array.from({ length: 50 }, () => listen()));
  await fleet.client.config('RESETSTAT');
  const since = performance.now();
  await add('news');
  await Promise.all(many.map((client) => client.until(() => changedOf(client, 'news').length > 0)));
  const { zrange = 0 } = await fleet.commandCounts();
  const polls = 1 + (performance.now() - since) / LOOK_MS;
  // At most a few commands per poll, independent of the number of listeners.
  assert.ok(zrange >= 1 && zrange < 5 * polls, `${zrange} in ${polls} polls`);
  for (const client of many) client.leave();
  // Polling stops with the last listener.
  const looks = async (): Promise<number> => (await fleet.commandCounts())['zrange'] ?? 0;
  const quiet = async (): Promise<boolean> => {
    const count = await looks();
    await delay(LOOK_MS * 5);
    return count === (await looks());
  };
  await until(quiet, (is) => is);
});

test('a task displaced by newer ones is not reported as removed', async () => {
  await add('old');
  const client = await listen();
  await producer.enqueueMany(
    fleetCanary,
    Array.from({ length: 1_001 }, (_, n) => ({ input: {}, id: `n${n}` })),
  );
  await client.until(() => changedOf(client, 'n1000').length > 0);
  await producer.stop('n1000');
  await client.until(() => removedOf(client).includes('n1000'));
  assert.ok(!removedOf(client).includes('old'));
});

test('a closing dashboard ends the streams with a retry delay', async () => {
  const own = await serveApi({ producer });
  const client = await EventClient.open(own.port, '/events');
  await client.until(([first]) => first?.event === 'ready');
  await own.dashboard.close();
  await client.end();
  assert.equal(client.retry, 2_000);
  assert.equal((await own.send('GET', '/events')).status, 503);
  await own.close();
});
