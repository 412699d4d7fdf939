import assert from 'node:assert/strict';
import { type TestContext, after, before, beforeEach, describe, it } from 'node:test';
import { createKeys } from '../../../../shared/keys.js';
import { resolveSettings } from '../../../../shared/settings/settings.js';
import { StopRequested } from '../../../../shared/stop/cause.js';
import type { ConnectedSettings } from '../../../../shared/store.js';
import type { TaskHandler } from '../../../../shared/task/handler.js';
import { MAINTENANCE_QUEUE, type ModelsRefreshOutput, modelsRefresh } from '../../../../worker/builtin/definitions.js';
import { modelsRefreshHandler } from '../../../../worker/builtin/models/handler.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ModelServer } from '../../../support/network/model-server.js';
import { createFakeContext, runHandler } from '../../../support/task/task-context.js';

interface Setup {
  readonly keys?: readonly string[];
  readonly timeoutMs?: number;
}

const listed = (id: string) => ({ id, object: 'model', owned_by: 'somebody' });
const entry = (id: string, urlIdx: number) => ({
  ...listed(id),
  name: id,
  owned_by: 'openai',
  openai: listed(id),
  connection_type: 'external',
  provider: '',
  urlIdx,
});
const many = (count: number, name: string): string[] => Array.from({ length: count }, (_, index) => `${name}-${index}`);

describe('models.refresh', () => {
  let fleet: TestFleet;
  let prefix: string;
  let models: string;
  let signature: string;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    ({ models, modelsSignature: signature } = createKeys(prefix));
    log = new LogLines();
  });
  after(() => fleet.stop());

  function handlerFor(servers: readonly (ModelServer | string)[], { keys = [], timeoutMs = 5_000 }: Setup = {}): TaskHandler {
    const openaiBaseUrls = servers.map((server) => (typeof server === 'string' ? server : server.url));
    const config = { keyPrefix: prefix, openaiBaseUrls, openaiKeys: keys, modelListTimeoutMs: timeoutMs };
    const settings = resolveSettings({ redisUrl: fleet.redis.url, ...config }) as ConnectedSettings;
    return modelsRefreshHandler({ store: fleet.store(config), settings, loggers: log.loggers });
  }

  const run = (handler: TaskHandler): Promise<ModelsRefreshOutput> =>
    runHandler(modelsRefresh, handler, createFakeContext(modelsRefresh, {}));
  const refresh = (servers: readonly (ModelServer | string)[], setup: Setup = {}) => run(handlerFor(servers, setup));

  async function cached(): Promise<Record<string, unknown>> {
    const all = await fleet.client.hgetall(models);
    return Object.fromEntries(Object.entries(all).map(([id, json]) => [id, JSON.parse(json) as unknown]));
  }

  /** Returns the server of each cached model. */
  async function places(): Promise<Record<string, unknown>> {
    return Object.fromEntries(Object.entries(await cached()).map(([id, model]) => [id, (model as { urlIdx?: number }).urlIdx]));
  }

  async function threeServers(t: TestContext): Promise<[ModelServer, ModelServer, ModelServer]> {
    return Promise.all([
      ModelServer.start(t, ['a', 'shared']),
      ModelServer.start(t, ['b', 'shared']),
      ModelServer.start(t, ['c', 'shared']),
    ]);
  }

  it('requests models with the key of each server, and merges them as open-webui does', async (t) => {
    const own = { id: 'own', name: 'My own', connection_type: 'local', provider: 'azure', context: { size: 8 } };
    const first = await ModelServer.start(t, [
      'shared',
      own,
      { name: 'nameless id' },
      { id: 'nameless', name: null },
      { id: '__proto__' },
      {},
    ]);
    const second = await ModelServer.start(t, ['shared', 'b', 'text-embedding-3']);
    const output = await refresh([`${first.url}/?api-version=7`, second], { keys: ['', 'sk-second'] });
    assert.deepEqual([...first.requests, ...second.requests], ['GET /v1/models?api-version=7 -', 'GET /v1/models Bearer sk-second']);
    const extra = { owned_by: 'openai', connection_type: 'external', provider: '' };
    assert.deepEqual(
      Object.entries(await cached()).toSorted(([a], [b]) => (a < b ? -1 : 1)),
      [
        ['__proto__', { id: '__proto__', name: '__proto__', ...extra, openai: { id: '__proto__' }, urlIdx: 0 }],
        ['b', entry('b', 1)],
        ['nameless', { id: 'nameless', name: 'nameless', ...extra, openai: { id: 'nameless' }, urlIdx: 0 }],
        ['nameless id', { name: 'nameless id', ...extra, openai: { name: 'nameless id' }, urlIdx: 0 }],
        ['own', { ...own, owned_by: 'openai', openai: own, urlIdx: 0 }],
        ['shared', entry('shared', 0)],
        ['text-embedding-3', entry('text-embedding-3', 1)],
      ],
    );
    assert.match((await fleet.client.get(signature)) ?? '', /^[0-9a-f]{64}:[0-9a-f]{32}$/);
    const { took_ms: _, ...rest } = output;
    const servers = [
      { url_idx: 0, url: `${first.url}/`, models: 5, error: null },
      { url_idx: 1, url: second.url, models: 2, error: null },
    ];
    assert.deepEqual(rest, { models: 7, added: 7, updated: 0, removed: 0, servers });
    const [line] = log.find(/Models updated/);
    assert.deepEqual([line?.['component'], line?.level, line?.['models'], line?.['added']], ['models', 30, 7, 7]);
  });

  it('keeps the last known models of a server that is dead and of one that is too slow, and names both', async (t) => {
    const [dead, slow, big] = await threeServers(t);
    big.models = many(5_000, 'old');
    await refresh([dead, slow, big]);
    await dead.stop();
    slow.silent = true;
    big.models = [...many(5_000, 'new'), 'shared', 'b'];
    // A reader that polls a list whose third server replaces all its models.
    const reader = fleet.redis.client();
    const sizes: number[] = [];
    const refreshed = new AbortController();
    t.after(() => refreshed.abort());
    const reading = (async () => {
      while (!refreshed.signal.aborted) sizes.push(await reader.hlen(models));
    })();
    const output = await refresh([dead, slow, big], { timeoutMs: 8_000 });
    refreshed.abort();
    await reading;
    assert.ok(Math.min(...sizes) >= 5_003, `a reader found ${Math.min(...sizes)} models`);
    assert.ok(new Set(sizes).size > 3, 'the reader did not see the list change');
    assert.deepEqual([output.models, output.added, output.updated, output.removed], [5_003, 5_000, 0, 5_000]);
    const expected = { a: 0, shared: 0, b: 1, ...Object.fromEntries(many(5_000, 'new').map((id) => [id, 2])) };
    assert.deepEqual(await places(), expected);
    const errors = [/^Cannot reach http:\S+\/v1: connect ECONNREFUSED/, /^http:\S+\/v1 did not list its models within 8\.0 s$/];
    assert.deepEqual(
      output.servers.map(({ url_idx, url, models: count }) => [url_idx, url, count]),
      [
        [0, dead.url, 2],
        [1, slow.url, 1],
        [2, big.url, 5_000],
      ],
    );
    errors.forEach((error, index) => assert.match(output.servers[index]?.error ?? '', error));
    assert.deepEqual(
      log.find(/Could not list the models/).map(({ level, server }) => [level, server]),
      [
        [40, dead.url],
        [40, slow.url],
      ],
    );
  });

  it('writes nothing without a change, not even the signature', async (t) => {
    const servers = await threeServers(t);
    servers[0].models = many(700, 'a');
    await refresh(servers);
    await servers[1].stop();
    const handler = handlerFor(servers);
    const monitor = await fleet.monitor();
    const output = await run(handler);
    const commands = (await monitor.stop()).map(([name = '']) => name.toLowerCase());
    assert.deepEqual(new Set(commands), new Set(['hgetall', 'exists']));
    assert.deepEqual([output.models, output.added, output.updated, output.removed], [703, 0, 0, 0]);
    assert.equal(log.find(/Models updated/).length, 1);
  });

  it('writes only new and changed models, under a new signature', async (t) => {
    const server = await ModelServer.start(t, ['a', 'b', 'c']);
    const handler = handlerFor([server]);
    await run(handler);
    const signed = await fleet.client.get(signature);
    server.models = ['a', { ...listed('b'), created: 5 }, 'd'];
    const monitor = await fleet.monitor();
    const output = await run(handler);
    const commands = (await monitor.stop()).filter(([name = '']) => ['hset', 'hdel', 'set', 'del'].includes(name.toLowerCase()));
    const entries = [
      ['del', signature],
      ['hset', models],
      ['del', signature],
      ['hdel', models],
      ['set', signature],
    ];
    assert.deepEqual(
      commands.map(([name, key]) => [name, key]),
      [...entries, ['hset', `${models}:listed`], ['hdel', `${models}:listed`]],
    );
    assert.deepEqual(
      commands[1]?.filter((_, index) => index > 1 && index % 2 === 0),
      ['b', 'd'],
    );
    assert.deepEqual([output.added, output.updated, output.removed], [1, 1, 1]);
    assert.deepEqual(await places(), { a: 0, b: 0, d: 0 });
    assert.notEqual(await fleet.client.get(signature), signed);
  });

  it("keeps open-webui's own models, and leaves equal entries in its formatting", async (t) => {
    const server = await ModelServer.start(t, ['equal', 'changed', 'llama', { ...listed('relayed'), ollama: {}, preset: true }]);
    const foreign = {
      llama: '{"id": "llama", "ollama": {"name": "llama"}, "urls": [0]}',
      ...{ pipe: '{"id": "pipe", "pipe": {}}', arena: '{"id": "arena", "arena": true}', preset: '{"id": "preset", "preset": true}' },
    };
    const python = (id: string): string => JSON.stringify(entry(id, 0)).replaceAll(':', ': ').replaceAll(',', ', ');
    const stale = {
      gone: python('gone'),
      other: '{"id": "other"}',
      broken: '{"id',
      list: '[1]',
      '': 'null',
      deep: `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`,
    };
    await fleet.client.hset(models, { ...foreign, ...stale, equal: python('equal'), changed: '{"not JSON' });
    const output = await refresh([server]);
    assert.deepEqual([output.models, output.added, output.updated, output.removed], [3, 1, 1, 6]);
    assert.equal(output.servers[0]?.models, 3);
    const { relayed, ...rest } = await fleet.client.hgetall(models);
    assert.deepEqual(rest, { ...foreign, equal: python('equal'), changed: JSON.stringify(entry('changed', 0)) });
    assert.equal((JSON.parse(relayed ?? '') as { urlIdx: number }).urlIdx, 0);
    server.models = ['equal'];
    assert.equal((await refresh([server])).removed, 2, 'a listed model belongs to its server, with any fields');
  });

  /** Changes an entry as open-webui does: by reading and writing the whole entry. */
  async function edit(id: string, change: (entry: Record<string, unknown>) => void): Promise<void> {
    const changed = JSON.parse((await fleet.client.hget(models, id)) ?? '') as Record<string, unknown>;
    change(changed);
    await fleet.client.hset(models, id, JSON.stringify(changed));
  }

  const additions = { info: { id: 'a', meta: { tags: [] } }, actions: [{ id: 'act' }], filters: [], tags: [{ name: 'mine' }], later: 1 };

  it("keeps open-webui's additions to a server's model, and removes fields the server dropped", async (t) => {
    const server = await ModelServer.start(t, [{ ...listed('a'), created: 1, limits: { size: 8 } }, 'b']);
    await refresh([server]);
    await edit('a', (model) => Object.assign(model, additions, { name: 'Our own' }));
    const written = await fleet.client.hget(models, 'a');
    const unchanged = await refresh([server]);
    assert.deepEqual([unchanged.updated, await fleet.client.hget(models, 'a')], [0, written]);
    server.models = [{ ...listed('a'), limits: { size: 9 }, owner: 'x' }, 'b'];
    assert.equal((await refresh([server])).updated, 1);
    const raw = { ...listed('a'), limits: { size: 9 }, owner: 'x' };
    assert.deepEqual((await cached())['a'], { ...entry('a', 0), ...raw, openai: raw, ...additions, name: 'Our own', owned_by: 'openai' });
    assert.equal((await refresh([server])).updated, 0);
    await server.stop();
    await assert.rejects(refresh([server]));
    assert.equal(((await cached())['a'] as { later?: number }).later, 1);
  });

  it('keeps additions in entries written by open-webui, with its connection settings, and after a server moved', async (t) => {
    const [server, other] = [await ModelServer.start(t, ['a']), await ModelServer.start(t, ['b'])];
    const settings = { tags: [{ name: 'paid' }], connection_type: 'local' };
    const theirs = { ...entry('a', 0), ...additions, ...settings, openai: { ...listed('a'), gone: 1, ...settings }, gone: 1 };
    await fleet.client.hset(models, 'a', JSON.stringify(theirs));
    const { gone: _, ...rest } = theirs;
    const expected = { ...rest, openai: { ...listed('a'), ...settings } };
    await refresh([server]);
    assert.deepEqual((await cached())['a'], expected);
    await refresh([other, server]);
    assert.deepEqual((await cached())['a'], { ...expected, urlIdx: 1 });
    assert.deepEqual(Object.keys(await fleet.client.hgetall(`${models}:listed`)).toSorted(), ['a', 'b']);
  });

  it('recognizes the last known models of a server after its URL moved in the list', async (t) => {
    const [first, second, third] = await threeServers(t);
    await refresh([first, second]);
    await Promise.all([first.stop(), second.stop()]);
    // Without a record, 0 and 1 would be taken for the places of `third` and `first`.
    await refresh([third, first]);
    assert.deepEqual(await places(), { c: 0, shared: 0, a: 1 });
    await refresh([second, third]);
    assert.deepEqual(await places(), { c: 1, shared: 1 });
    assert.deepEqual(await fleet.client.hgetall(`${models}:servers`), { 0: second.url, 1: third.url });
  });

  it('fails, and changes nothing, when no server lists its models', async (t) => {
    const servers = await threeServers(t);
    await refresh(servers);
    for (const server of servers) await server.stop();
    const content = await fleet.client.hgetall(models);
    const signed = await fleet.client.get(signature);
    await assert.rejects(refresh(servers), ({ message }: Error) =>
      servers.every(({ url }) => message.includes(`Cannot reach ${url}: connect ECONNREFUSED`)),
    );
    assert.deepEqual([await fleet.client.hgetall(models), await fleet.client.get(signature)], [content, signed]);
    assert.equal(log.find(/Could not list the models/).length, 3);
  });

  it('does not touch the models without servers', async () => {
    await fleet.client.hset(models, 'somebody', '{"id": "somebody"}');
    const handler = handlerFor([]);
    const monitor = await fleet.monitor();
    const { took_ms: _, ...output } = await run(handler);
    assert.deepEqual(await monitor.stop(), []);
    assert.deepEqual(output, { models: 0, added: 0, updated: 0, removed: 0, servers: [] });
  });

  it('runs when a fleet starts; on a stop it closes the connections to the servers, and the task is cancelled', async (t) => {
    const [silent, other] = await threeServers(t);
    silent.silent = true;
    const asked = silent.asked();
    await fleet.worker(prefix, [], { openaiBaseUrls: [silent.url, other.url], modelListTimeoutMs: 60_000, stopGraceMs: 60_000 });
    await asked;
    const producer = fleet.producer({ keyPrefix: prefix });
    const active = await fleet.store({ keyPrefix: prefix }).queues.get(MAINTENANCE_QUEUE).getActive();
    const runs = active.filter(({ name }) => name === modelsRefresh.name);
    const receipts = await producer.stop(
      runs.map(({ id }) => id as string),
      { waitMs: 60_000 },
    );
    assert.deepEqual(
      receipts.map(({ outcome, via }) => [outcome, via]),
      [['cancelled', 'signal']],
    );
    await silent.disconnected();
    assert.equal(await fleet.client.exists(models), 0);
  });

  it('leaves unsigned old and new models when stopped between two batches, and the next run continues', async (t) => {
    const server = await ModelServer.start(t, many(3_000, 'old'));
    await refresh([server]);
    server.models = many(3_000, 'new');
    const fake = createFakeContext(modelsRefresh, {});
    const handler = handlerFor([server]);
    const reason = new StopRequested('enough', 'a test');
    // The first batch is written: more models than before, but not all.
    const reader = fleet.redis.client();
    const watching = (async () => {
      while ((await reader.hlen(models)) === 3_000);
      fake.abort(reason);
    })();
    await assert.rejects(runHandler(modelsRefresh, handler, fake), (error) => error === reason);
    await watching;
    const size = await fleet.client.hlen(models);
    assert.ok(size > 3_000 && size <= 6_000, `${size} models`);
    assert.equal(await fleet.client.exists(signature), 0);
    const { removed } = await run(handler);
    assert.ok(removed > 0);
    assert.deepEqual(Object.keys(await places()).toSorted(), many(3_000, 'new').toSorted());
    assert.equal(await fleet.client.exists(signature), 1);
  });

  it('signs the entries of a writer that died before signing', async (t) => {
    const server = await ModelServer.start(t, ['a']);
    await refresh([server]);
    await fleet.client.del(signature);
    const { added, updated, removed } = await refresh([server]);
    assert.deepEqual([added, updated, removed, await fleet.client.exists(signature)], [0, 0, 0, 1]);
  });

  it('may run several times at once', async (t) => {
    const servers = await threeServers(t);
    servers[2].models = many(1_200, 'c');
    await Promise.all([1, 2, 3, 4].map(() => refresh(servers)));
    assert.equal(await fleet.client.hlen(models), 1_203);
    assert.equal(await fleet.client.exists(signature), 1);
    const { added, updated, removed } = await refresh(servers);
    assert.deepEqual([added, updated, removed], [0, 0, 0]);
  });
});
