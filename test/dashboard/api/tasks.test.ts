import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { type Sent, type ServedApi, serveApi } from './serve-api.js';

const task = new ScriptedTask('report.write');
const fleet = await TestFleet.start();
let keyPrefix: string;
let producer: Producer;
let api: ServedApi;

const start = async (): Promise<void> => {
  keyPrefix = fleet.newPrefix();
  producer = fleet.producer({ keyPrefix });
  api = await serveApi({ producer, definitions: [task.definition] });
};
after(() => fleet.stop());

interface TaskJson {
  readonly id: string;
  readonly item: string | null;
  readonly state: string;
}
const idsOf = ({ body }: Sent): string[] => (body as { tasks: TaskJson[] }).tasks.map(({ id }) => id);
const codeOf = ({ body }: Sent): string => (body as { code: string }).code;
const fieldsOf = ({ body }: Sent): string[] => ((body as { errors?: { field: string }[] }).errors ?? []).map(({ field }) => field);

describe('without a worker', () => {
  beforeEach(start);
  afterEach(() => api.close());

  test('an enqueued task is found at its Location', async () => {
    const { status, headers, body } = await api.send('POST', '/tasks', {
      json: { name: 'fleet.canary', input: { run_ms: 5 }, item: 'chat-1', delay: 60_000, priority: 3 },
    });
    const { id } = body as TaskJson;
    assert.deepEqual(
      [status, headers.location, body],
      [202, `/api/v1/tasks/${id}`, { id, name: 'fleet.canary', queue: 'fleet', item: 'chat-1', duplicate: false, superseded: [] }],
    );
    const found = (await api.send('GET', `/tasks/${id}`)).body as TaskJson;
    assert.deepEqual([found.id, found.item, found.state], [id, 'chat-1', 'scheduled']);
  });

  test('a task of the service is enqueued; its input defaults to {}', async () => {
    assert.equal((await api.send('POST', '/tasks', { json: { name: 'report.write' } })).status, 202);
    assert.equal((await api.send('POST', '/tasks', { json: { name: 'fleet.canary' } })).status, 202);
  });

  test('tags are stored with the task, and bad ones are refused', async () => {
    const { body } = await api.send('POST', '/tasks', { json: { name: 'fleet.canary', tags: ['tenant:7', 'model:x'] } });
    const found = (await api.send('GET', `/tasks/${(body as TaskJson).id}`)).body;
    assert.deepEqual((found as { tags: string[] }).tags, ['tenant:7', 'model:x']);
    for (const tags of [[''], 'tenant:7', Array.from({ length: 11 }, (_, index) => `${index}`), ['a\u0000']]) {
      const refused = await api.send('POST', '/tasks', { json: { name: 'fleet.canary', tags } });
      assert.deepEqual([refused.status, fieldsOf(refused)[0]?.split('.')[0]], [400, 'tags'], JSON.stringify(tags));
    }
  });

  test('a repeated id yields one task', async () => {
    const json = { name: 'fleet.canary', id: 'once' };
    const [first, second] = [await api.send('POST', '/tasks', { json }), await api.send('POST', '/tasks', { json })];
    assert.deepEqual(
      [first, second].map(({ body }) => (body as { duplicate: boolean }).duplicate),
      [false, true],
    );
    assert.deepEqual(idsOf(await api.send('GET', '/tasks')), ['once']);
  });

  test('on a busy item, on_busy replaces the previous task or refuses the new one', async () => {
    await api.send('POST', '/tasks', { json: { name: 'fleet.canary', item: 'chat-1', id: 'old' } });
    const refused = await api.send('POST', '/tasks', { json: { name: 'fleet.canary', item: 'chat-1', on_busy: 'reject' } });
    assert.deepEqual([refused.status, codeOf(refused), (refused.body as { ids: string[] }).ids], [409, 'ITEM_BUSY', ['old']]);
    const { body } = await api.send('POST', '/tasks', {
      json: { name: 'fleet.canary', item: 'chat-1', id: 'new', on_busy: 'stop-previous' },
    });
    assert.deepEqual((body as { superseded: string[] }).superseded, ['old']);
    assert.deepEqual(idsOf(await api.send('GET', '/tasks?item=chat-1')), ['new']);
  });

  const BAD: readonly (readonly [what: string, json: unknown, code: string, fields: readonly string[]])[] = [
    ['an unknown name', { name: 'no.such' }, 'UNKNOWN_TASK', ['name']],
    ["one of the fleet's own", { name: 'registry.reconcile' }, 'UNKNOWN_TASK', ['name']],
    ['no name', {}, 'BAD_REQUEST', ['name']],
    ['a bad input', { name: 'fleet.canary', input: { run_ms: -1, speed: 3 } }, 'INVALID_INPUT', ['input.run_ms', 'input.speed']],
    ['an input of another type', { name: 'fleet.canary', input: 'fast' }, 'INVALID_INPUT', ['input']],
    ['a bad id', { name: 'fleet.canary', id: 'active' }, 'INVALID_ID', ['id']],
    ['a long id', { name: 'fleet.canary', id: 'a'.repeat(129) }, 'INVALID_ID', ['id']],
    ['a bad item', { name: 'fleet.canary', item: 'a\u0000b' }, 'INVALID_ITEM', ['item']],
    ['a long item', { name: 'fleet.canary', item: 'a'.repeat(257) }, 'INVALID_ITEM', ['item']],
    ['a lone surrogate', { name: 'fleet.canary', item: '\ud800' }, 'INVALID_ITEM', ['item']],
    ['an unknown field', { name: 'fleet.canary', colour: 'red' }, 'BAD_REQUEST', ['colour']],
    ['a delay as text', { name: 'fleet.canary', delay: '5' }, 'BAD_REQUEST', ['delay']],
    ['an excessive priority', { name: 'fleet.canary', priority: 2_097_152 }, 'BAD_REQUEST', ['priority']],
    ['a malformed deadline', { name: 'fleet.canary', deadline: 'tomorrow' }, 'BAD_REQUEST', ['deadline']],
    ['a deadline in the past', { name: 'fleet.canary', deadline: '2001-01-01T00:00:00Z' }, 'INVALID_OPTION', ['deadline']],
    ['on_busy without an item', { name: 'fleet.canary', on_busy: 'reject' }, 'INVALID_OPTION', ['on_busy']],
  ];
  for (const [what, json, code, fields] of BAD) {
    test(`${what} is refused, naming the field`, async () => {
      const sent = await api.send('POST', '/tasks', { json });
      assert.deepEqual([sent.status, codeOf(sent), fieldsOf(sent)], [400, code, fields]);
      assert.deepEqual(await fleet.client.hkeys(`${keyPrefix}:tasks`), []);
    });
  }

  test('an oversized input is refused', async () => {
    const small = await serveApi({ producer: fleet.producer({ maxInputBytes: 1_024 }), definitions: [task.definition] });
    const sent = await small.send('POST', '/tasks', { json: { name: 'report.write', input: 'x'.repeat(2_000) } });
    await small.close();
    assert.deepEqual([sent.status, codeOf(sent)], [413, 'INPUT_TOO_LARGE']);
  });

  test('pages of the list have each task once', async () => {
    const added = await producer.enqueueMany(
      fleetCanary,
      Array.from({ length: 25 }, () => ({ input: {}, item: 'chat-1' })),
    );
    for (const first of [
      '/tasks?limit=10',
      '/items/chat-1/tasks?limit=10',
      '/tasks?limit=10&queue=fleet&name=fleet.canary&state=queued&item=chat-1',
    ]) {
      const seen: string[] = [];
      for (let path: string | null = first; path !== null;) {
        const sent = await api.send('GET', path);
        const { next } = sent.body as { next: string | null };
        seen.push(...idsOf(sent));
        path = next === null ? null : `${first}&after=${encodeURIComponent(next)}`;
      }
      assert.equal(seen.length, 25);
      assert.deepEqual(new Set(seen), new Set(added.map(({ id }) => id)));
    }
  });

  test('the list is filtered by item, state, name and queue', async () => {
    await producer.enqueue(fleetCanary, {}, { id: 'canary', item: 'a/b c' });
    await producer.enqueue(task.definition, null, { id: 'report' });
    await producer.enqueue(task.definition, null, { id: 'stopped' });
    await producer.stop('stopped');
    for (const [query, ids] of [
      ['', ['canary', 'report']],
      ['?item=a%2Fb+c', ['canary']],
      ['?state=queued&name=report.write', ['report']],
      ['?queue=fleet', ['canary']],
      ['?queue=report&state=cancelled', ['stopped']],
      ['?queue=fleet&state=cancelled', []],
      ['?state=running', []],
    ] as const) {
      assert.deepEqual(idsOf(await api.send('GET', `/tasks${query}`)).toSorted(), ids, query);
    }
    assert.deepEqual(idsOf(await api.send('GET', '/items/a%2Fb%20c/tasks')), ['canary']);
  });

  for (const [query, field] of [
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['state=sleeping', 'state'],
    ['after=yesterday', 'after'],
    ['item=', 'item'],
    ['item=%00', 'item'],
    ['colour=red', 'colour'],
    ['__proto__=1', '__proto__'],
    ['item=%zz', 'query'],
    ['name=', 'name'],
  ] as const) {
    test(`the query ${query} is refused, naming the field`, async () => {
      const sent = await api.send('GET', `/tasks?${query}`);
      assert.deepEqual([sent.status, fieldsOf(sent)], [400, [field]]);
    });
  }

  test('a queued task is stopped at once; a second stop changes nothing', async () => {
    await producer.enqueue(fleetCanary, {}, { id: 'waits' });
    const { status, body } = await api.send('POST', '/tasks/waits/stop', { json: { reason: 'not needed' }, as: 'operator' });
    const { outcome, via, reason, by } = body as Record<string, unknown>;
    assert.deepEqual([status, outcome, via, reason, by], [200, 'cancelled', 'queue', 'not needed', 'operator']);
    const again = await api.send('POST', '/tasks/waits/stop');
    assert.equal(again.status, 200);
  });

  test('an unknown task cannot be read, stopped or retried', async () => {
    for (const [method, path] of [
      ['GET', '/tasks/nobody'],
      ['POST', '/tasks/nobody/stop'],
      ['POST', '/tasks/nobody/retry'],
      ['GET', '/tasks/nobody/events'],
    ] as const) {
      const sent = await api.send(method, path);
      assert.deepEqual([sent.status, codeOf(sent)], [404, 'TASK_NOT_FOUND']);
    }
  });

  test('a cancelled task can be retried, a queued one cannot', async () => {
    await producer.enqueue(fleetCanary, {}, { id: 'again' });
    const early = await api.send('POST', '/tasks/again/retry');
    assert.deepEqual([early.status, codeOf(early), (early.body as TaskJson).state], [409, 'TASK_NOT_RETRYABLE', 'queued']);
    await producer.stop('again');
    const { status, body } = await api.send('POST', '/tasks/again/retry');
    assert.deepEqual([status, (body as TaskJson).state], [200, 'queued']);
  });

  test('a dry run lists the tasks of an item, and the stop cancels them', async () => {
    await producer.enqueueMany(
      fleetCanary,
      Array.from({ length: 3 }, () => ({ input: {}, item: 'a/b' })),
    );
    const outcomes = ({ body }: Sent): unknown[] => (body as { receipts: { outcome: string }[] }).receipts.map(({ outcome }) => outcome);
    const dry = await api.send('POST', '/items/a%2Fb/stop', { json: { dry_run: true } });
    assert.deepEqual([dry.status, outcomes(dry)], [200, ['requested', 'requested', 'requested']]);
    assert.equal(idsOf(await api.send('GET', '/tasks')).length, 3);
    const done = await api.send('POST', '/items/a%2Fb/stop', { json: { reason: 'enough' } });
    assert.deepEqual([done.status, outcomes(done)], [200, ['cancelled', 'cancelled', 'cancelled']]);
    assert.deepEqual(outcomes(await api.send('POST', '/items/a%2Fb/stop')), []);
  });

  test('HEAD answers as GET does, without a body', async () => {
    await producer.enqueue(fleetCanary, {}, { id: 'there' });
    const [head, get] = [await api.send('HEAD', '/tasks/there'), await api.send('GET', '/tasks/there')];
    assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, get.headers['content-length'], '']);
    assert.equal((await api.send('HEAD', '/tasks/nobody')).status, 404);
    assert.equal((await api.send('HEAD', '/tasks/there/events')).headers['content-type'], 'text/event-stream');
    assert.equal((await api.send('HEAD', '/events')).status, 200);
  });
});

describe('with a worker', () => {
  before(async () => {
    await start();
    // Both requests arrive within the grace period.
    await fleet.worker(keyPrefix, [task.handler], { stopGraceMs: 10_000 });
  });
  after(() => api.close());

  test('the stop of a running task is requested, and settles within wait_ms', async () => {
    const one = await producer.enqueue(task.definition, null, { item: 'chat-1' });
    const call = await task.call(0);
    const requested = await api.send('POST', `/tasks/${one.id}/stop`);
    assert.deepEqual([requested.status, (requested.body as { outcome: string }).outcome], [202, 'requested']);
    assert.equal((await api.send('POST', '/items/chat-1/stop')).status, 202);
    const settled = api.send('POST', `/tasks/${one.id}/stop?wait_ms=10000`);
    void call.aborted.then(() => call.throws(new Error('stopped')));
    assert.deepEqual([(await settled).status, ((await settled).body as { outcome: string }).outcome], [200, 'cancelled']);
  });

  test('the stop of a completed task is a conflict with its receipt', async () => {
    const one = await producer.enqueue(task.definition, null);
    (await task.call(1)).returns({ pages: 3 });
    await producer.result(one);
    const sent = await api.send('POST', `/tasks/${one.id}/stop`);
    const { outcome, ended_as } = (sent.body as { receipt: Record<string, unknown> }).receipt;
    assert.deepEqual([sent.status, codeOf(sent), outcome, ended_as], [409, 'TASK_FINISHED', 'finished', 'completed']);
    assert.deepEqual(((await api.send('GET', `/tasks/${one.id}`)).body as { result: unknown }).result, { pages: 3 });
  });

  test('the attempts of a failed task have stack traces only for operators and above', async () => {
    const one = await producer.enqueue(task.definition, null);
    (await task.call(2)).throws(new Error('no', { cause: new TypeError('why') }));
    await producer.result(one).catch(() => undefined);
    for (const [as, sees] of [
      ['viewer', false],
      ['submitter', false],
      ['operator', true],
      ['admin', true],
    ] as const) {
      const { body, text } = await api.send('GET', `/tasks/${one.id}`, { as });
      const { attempts, max_attempts: most } = body as {
        attempts: { error: { message: string; cause: { name: string } } }[];
        max_attempts: number;
      };
      assert.deepEqual([attempts.length, most, attempts[0]?.error.message, attempts[0]?.error.cause.name], [1, 1, 'no', 'TypeError']);
      assert.equal(text.includes('tasks.test'), sees, as);
      const events = await api.send('GET', `/tasks/${one.id}/events`, { as });
      assert.equal(events.text.includes('tasks.test'), sees, `${as}: events`);
    }
    const { tasks } = (await api.send('GET', '/tasks?state=failed')).body as {
      tasks: { attempts: null; error: string; finished_at: string }[];
    };
    assert.deepEqual(
      tasks.map(({ attempts, error, finished_at: at }) => [attempts, error, at.slice(0, 2)]),
      [[null, 'no', '20']],
    );
  });

  test("a duration in a filter ends at the fleet's present, whatever the clock of the dashboard says", async (t) => {
    const one = await producer.enqueue(task.definition, null, { item: 'recent' });
    (await task.call(3)).returns(null);
    await producer.result(one);
    const real = Date.now.bind(Date);
    t.mock.method(Date, 'now', () => real() + 600_000);
    const filter = 'state=ended&item=recent&finished_after=5m';
    assert.deepEqual(idsOf(await api.send('GET', `/tasks?${filter}`)), [one.id]);
    assert.equal(((await api.send('GET', `/tasks/count?${filter}`)).body as { count: number }).count, 1);
  });

  for (const query of ['wait_ms=60001', 'wait_ms=-1', 'wait_ms=1.5', 'wait=1']) {
    test(`the query ${query} of a stop is refused`, async () => {
      for (const path of ['/tasks/x/stop', '/items/x/stop']) assert.equal((await api.send('POST', `${path}?${query}`)).status, 400);
    });
  }
});
