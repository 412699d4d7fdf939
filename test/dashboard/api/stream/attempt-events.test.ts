import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { type Keys, createKeys } from '../../../../shared/keys.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';
import { type ServedApi, serveApi } from '../serve-api.js';
import { EventClient, type Heard } from './event-client.js';

describe('the event stream of a retried task', () => {
  const task = new ScriptedTask('report.write', { retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } });
  let fleet: TestFleet;
  let producer: Producer;
  let api: ServedApi;
  let other: ServedApi;
  let keys: Keys;

  before(async () => {
    fleet = await TestFleet.start();
    const keyPrefix = fleet.newPrefix();
    keys = createKeys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [task.handler]);
    [api, other] = await Promise.all([
      serveApi({ producer, definitions: [task.definition] }),
      serveApi({ producer, definitions: [task.definition] }),
    ]);
  });
  after(async () => {
    await Promise.all([api.close(), other.close()]);
    await fleet.stop();
  });

  const entries = async (id: string): Promise<[id: string, fields: string[]][]> => fleet.client.xrange(keys.events(id), '-', '+');

  it('starts each attempt before its output, for late clients too, and drops late output', async () => {
    const { id } = await producer.enqueue(task.definition, null);
    const path = `/tasks/${id}/events`;
    const first = await task.call(0);
    const early = await EventClient.open(api.port, path);
    await early.until((heard) => heard.length > 0);
    first.context.emit('one');
    await until(
      () => entries(id),
      (all) => all.length === 2,
    );
    first.throws(new Error('once more'));
    const second = await task.call(1);
    // The second attempt has no output yet, so its start is not in the task's stream.
    await early.until(() => textOf(early.heard).endsWith('running:2'));
    const joined = await EventClient.open(api.port, path);
    const lastEventId = (await entries(id))[1]?.[0];
    const resumed = await EventClient.open(api.port, path, { lastEventId });
    for (const client of [joined, resumed]) await client.until(() => textOf(client.heard).endsWith(' running:2'));
    second.context.emit('two');
    for (const client of [early, joined, resumed]) await client.until(() => client.chunks.includes('two'));
    await fleet.client.xadd(keys.events(id), '*', 'type', 'state', 'data', '"retrying"', 'attempt', 1);
    // Without earlier clients, everything is read from the task's stream.
    const late = await EventClient.open(other.port, path);
    await late.until(() => late.chunks.includes('two'));
    second.returns();
    for (const client of [early, joined, resumed, late]) await client.end();
    // `retrying` is missing if it arrived after the second attempt was seen.
    assert.match(textOf(early.heard), /^\(running:1\) queued running:1 one (retrying:1 )?running:2 two completed$/);
    assert.match(textOf(resumed.heard), /^\(running:2\) (retrying:1 )?running:2 two completed$/);
    for (const { heard } of [joined, late])
      assert.match(textOf(heard), /^\(running:2\) queued running:1 one (retrying:1 )?running:2 two completed$/);
  });
});

/** Snapshots in brackets. */
function textOf(heard: readonly Heard[]): string {
  const texts = heard.map(({ event, data: { state, attempt, chunk } }) => {
    if (event === 'chunk') return String(chunk);
    const text = state === 'running' || state === 'retrying' ? `${state}:${String(attempt)}` : String(state);
    return event === 'snapshot' ? `(${text})` : text;
  });
  return texts.join(' ');
}
