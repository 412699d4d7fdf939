/** The command `addTasks` runs BullMQ's script `addStandardJob` for several jobs: it must leave what that script leaves. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type IRedisClient, type JobJson, createIORedisClient } from 'bullmq';
import { addStandardJob } from '../../../node_modules/bullmq/dist/esm/scripts/index.js';
import { isWrongType } from '../../../shared/redis/reply-errors.js';
import { ADD_KEYS } from '../../../shared/scripts/add-tasks.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

type Argument = string | number | Buffer;

describe('addTasks', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  function jobOf(id: string, opts: object = {}, data = '{"ü":1}'): JobJson {
    return { id, name: 'n', data, opts, timestamp: 1_000, deduplicationId: undefined, ...opts } as unknown as JobJson;
  }

  const JOBS = [jobOf('a'), jobOf('b', { lifo: true }), jobOf('a'), ...['c', 'd'].map((id) => deduplicated(id, 'k'))];

  function deduplicated(id: string, key: string): JobJson {
    return jobOf(id, { deduplication: { id: key }, deduplicationId: key });
  }

  function open(name: string, its = fleet) {
    const store = its.store();
    const backend = store.queues.backend(name);
    const callOf = (job: JobJson): [name: string, args: Argument[]] => {
      let call: [string, Argument[]] = ['', []];
      const client = { runCommand: (...given: typeof call) => Promise.resolve((call = given)) };
      void backend.addJobToTransaction(client as unknown as IRedisClient, job, job.id).catch(() => undefined);
      return call;
    };
    const add = (jobs: readonly JobJson[], commands: readonly (readonly (string | number)[])[] = []) => {
      const calls = jobs.map((job) => callOf(job)[1]);
      const keys = calls[0]?.slice(0, ADD_KEYS) ?? [];
      return store.redis.addTasks([
        ...keys,
        store.keys.pendingStops,
        JSON.stringify(commands),
        ...calls.flatMap((call) => call.slice(ADD_KEYS)),
      ]);
    };
    return { store, backend, callOf, add, prefix: store.keys.jobs(name) };
  }

  /** Everything in the queue's keys. */
  async function contentOf(prefix: string): Promise<Record<string, unknown>> {
    const content: Record<string, unknown> = {};
    for (const key of (await fleet.client.keys(`${prefix}*`)).toSorted()) {
      const type = await fleet.client.type(key);
      const name = key.slice(prefix.length);
      if (type === 'hash') content[name] = await fleet.client.hgetall(key);
      else if (type === 'zset') content[name] = await fleet.client.zrange(key, '0', '-1', 'WITHSCORES');
      else if (type === 'list') content[name] = await fleet.client.lrange(key, 0, -1);
      else if (type === 'stream') content[name] = (await fleet.client.xrange(key, '-', '+')).map(([, fields]) => fields);
      else content[name] = await fleet.client.get(key);
    }
    return JSON.parse(JSON.stringify(content).replaceAll(prefix, 'queue:')) as Record<string, unknown>;
  }

  it("replies and leaves what BullMQ's script does, for repeated ids and deduplication keys too", async () => {
    const [one, all] = [open('one'), open('all')];
    const client = createIORedisClient(one.store.redis);
    const replies: unknown[] = [];
    for (const job of JOBS) replies.push(await one.backend.addJobToTransaction(client, job, job.id));
    assert.deepEqual(await all.add(JOBS), [0, [], ...replies]);
    assert.deepEqual(replies, ['a', 'b', 'a', 'c', 'c']);
    assert.deepEqual(await contentOf(all.prefix), await contentOf(one.prefix));
  });

  it('runs the commands first, counts pending stops, and keeps going after errors, which name their place', async () => {
    const { store, add, prefix } = open('some');
    await fleet.client.lpush(`${prefix}de:wrong`, 'x');
    await fleet.client.hset(store.keys.pendingStops, 'early', '{}');
    const other = `${prefix}other`;
    const commands = [
      ['HSET', `${prefix}de:wrong`, 'f', 1],
      ['ZADD', other, 1_796_054_496_892, 'ü'],
    ];
    const [pending, errors, ...replies] = await add([deduplicated('a', 'wrong'), jobOf('b')], commands);
    assert.equal(pending, 1);
    assert.equal(errors[0], 0);
    assert.deepEqual([isWrongType(errors[1]), isWrongType(replies[0]), replies[1]], [true, true, 'b']);
    assert.deepEqual(await fleet.client.zrange(other, '0', '-1', 'WITHSCORES'), ['ü', '1796054496892']);
  });

  it('is refused as a whole by a replica, so that the client looks for the master and sends it again', async () => {
    const own = await TestFleet.start();
    try {
      const { store, add } = open('late', own);
      const commands = [['HSET', 'a', 'f', 1]];
      await add([jobOf('a')], commands);
      Object.assign(store.redis.options, { reconnectOnError: null });
      await own.client.replicaof('127.0.0.1', 1);
      await assert.rejects(add([jobOf('b')], commands), /^ReplyError: READONLY/);
    } finally {
      await own.stop();
    }
  });

  it("creates BullMQ's functions once for all jobs", async () => {
    const { content } = addStandardJob;
    assert.equal(content.split('if parentKey ~= nil then\n    if rcall("EXISTS", parentKey) ~= 1 then return -5 end').length, 2);
    assert.doesNotMatch(content.slice(0, content.indexOf('-- Includes')), /local function/);
    const { callOf } = open('which');
    assert.match(callOf(jobOf('a'))[0], /^addStandardJob:/);
  });
});
