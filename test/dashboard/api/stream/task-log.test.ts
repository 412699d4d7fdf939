import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';
import { type Sent, type ServedApi, serveApi } from '../serve-api.js';
import { EventClient } from './event-client.js';

const headers = { accept: 'text/event-stream' };

interface Page {
  readonly lines: readonly { readonly seq: number; readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[];
  readonly next: number | null;
  readonly dropped: number;
}

describe('GET /tasks/{id}/logs', () => {
  const task = new ScriptedTask('log.read');
  let fleet: TestFleet;
  let producer: Producer;
  let api: ServedApi;

  before(async () => {
    fleet = await TestFleet.start();
    const keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [task.handler]);
    api = await serveApi({ producer });
  });
  after(async () => {
    await api.close();
    await fleet.stop();
  });

  const begin = async (item?: string) => {
    const index = task.calls.length;
    const { id } = await producer.enqueue(task.definition, null, { item });
    return { id, call: await task.call(index) };
  };
  const pageOf = ({ body }: Sent): Page => body as Page;
  const stored = (id: string, lines: number) =>
    until(
      () => producer.logPage(id, { after: lines - 1, limit: 1 }),
      (page) => page.lines.length === 1,
    );

  it('pages by the number of the line', async () => {
    const { id, call } = await begin();
    for (let n = 1; n <= 250; n += 1) call.context.log.info({ n }, 'counted');
    await stored(id, 250);
    const seen: number[] = [];
    let next: number | null = 0;
    for (let pages = 0; next !== null && pages < 10; pages += 1) {
      const page: Page = pageOf(await api.send('GET', `/tasks/${id}/logs?after=${next}`));
      seen.push(...page.lines.map(({ seq, fields }) => (fields['n'] === seq ? seq : -1)));
      ({ next } = page);
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 250 }, (_, index) => index + 1),
    );
    assert.deepEqual(pageOf(await api.send('GET', `/tasks/${id}/logs?after=900`)), { lines: [], next: null, dropped: 0 });
    for (const query of ['after=-1', 'after=x', 'limit=0', 'limit=1001'])
      assert.equal((await api.send('GET', `/tasks/${id}/logs?${query}`)).status, 400, query);
    assert.equal((await api.send('HEAD', `/tasks/${id}/logs`)).status, 200);
    call.returns();
  });

  it('shows a task to those who may see it, and stacks to operators', async () => {
    const [mine, other] = [await begin('mine-1'), await begin('other')];
    for (const { id, call } of [mine, other]) {
      call.context.log.error({ error: new Error('outer', { cause: new Error('inner') }), token: 'secret' }, 'failed');
      await stored(id, 1);
    }
    const read = async (as: 'guest' | 'steward', id: string): Promise<Sent> => api.send('GET', `/tasks/${id}/logs`, { as });
    const { text } = await read('guest', mine.id);
    assert.match(text, /"cause":\{"name":"Error","message":"inner"\}/);
    assert.doesNotMatch(text, /stack|secret/);
    assert.match((await read('steward', mine.id)).text, /"stack":"Error: inner\\n/);
    for (const id of [other.id, 'nobody'])
      for (const accept of ['application/json', 'text/event-stream'])
        assert.equal((await api.send('GET', `/tasks/${id}/logs`, { as: 'guest', headers: { accept } })).status, 404);
    mine.call.returns();
    other.call.returns();
  });

  it('streams lines as they come, resumes after a lost connection, and ends with the task', async () => {
    const { id, call } = await begin();
    const path = `/tasks/${id}/logs`;
    call.context.log.info('one');
    const first = await EventClient.open(api.port, path, { headers, as: 'viewer' });
    await first.until((heard) => heard.length === 1);
    first.leave();
    call.context.log.info('two');
    call.context.log.info('three');
    const { lastId } = first;
    const second = await EventClient.open(api.port, path, { headers, lastEventId: lastId });
    await second.until((heard) => heard.length === 2);
    call.context.log.info('four');
    call.returns();
    await second.end();
    assert.deepEqual(
      second.heard.map(({ event, id: seq, data }) => [event, seq, data['message'] ?? data['state']]),
      [
        ['line', '2', 'two'],
        ['line', '3', 'three'],
        ['line', '4', 'four'],
        ['end', '4-end', 'completed'],
      ],
    );
    assert.equal((await EventClient.open(api.port, path, { headers, lastEventId: '4-end' })).status, 204);
    const late = await EventClient.open(api.port, `${path}?after=3`, { headers });
    assert.deepEqual(
      (await late.end()).map(({ id: seq }) => seq),
      ['4', '4-end'],
    );
  });
});
