import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fleetCanary } from '../../../../index.js';
import type { Producer } from '../../../../producer/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { freshApi } from '../fresh-api.js';
import type { SendOptions, ServedApi } from '../serve-api.js';

const fleet = await TestFleet.start();
let api: ServedApi;
let producer: Producer;
freshApi(fleet, (fresh) => ({ api, producer } = fresh));
after(() => fleet.stop());

test('tasks are counted by state, of the filter and of what the caller sees', async () => {
  const add = (id: string, item: string, delay = 0) => producer.enqueue(fleetCanary, { run_ms: 1 }, { id, item, delay });
  await Promise.all([add('a', 'mine-1'), add('b', 'mine-2'), add('c', 'yours'), add('d', 'mine-1', 60_000)]);
  await producer.stop('b');
  const count = async (query: string, as: SendOptions['as'] = 'viewer') => (await api.send('GET', `/tasks/count${query}`, { as })).body;
  const found = (number: number) => ({ count: number, complete: true });
  assert.deepEqual(await count('?state=queued,scheduled,cancelled&by=state'), {
    ...found(4),
    states: { queued: found(2), scheduled: found(1), cancelled: found(1) },
  });
  assert.deepEqual(await count('?state=queued,cancelled&item=mine*&by=state', 'guest'), {
    ...found(2),
    states: { queued: found(1), cancelled: found(1) },
  });
  assert.deepEqual(await count('?state=queued&at_most=1&by=state'), {
    ...{ count: 1, complete: false },
    states: { queued: { count: 1, complete: false } },
  });
  assert.equal(Object.keys(((await count('?state=all&by=state')) as { states: object }).states).length, 11);
  assert.deepEqual(await count(''), found(3));
});
