import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Producer } from '../../producer/index.js';
import { type Keys, createKeys } from '../../shared/keys.js';
import { PoolCleaner } from '../../worker/builtin/pools/handlers.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

function setUp(): { producer: Producer; keys: Keys; read: (model?: string) => Promise<string | null> } {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  return { producer: fleet.producer({ keyPrefix }), keys, read: (model = 'm') => client.hget(keys.usagePool, model) };
}

/** Replaces every second of the last minute, by Redis' clock, with `NOW`. */
async function masked(text: string | null): Promise<string | null> {
  const now = Number((await client.time())[0]);
  return text?.replaceAll(/\b\d{10}\b/g, (seconds) => (now - Number(seconds) >= 0 && now - Number(seconds) < 60 ? 'NOW' : seconds)) ?? null;
}

const OLD = 1_700_000_000;
const NEW = '{"updated_at": NOW}';

describe('usage.touch', () => {
  it('writes the same as open-webui', async () => {
    const { producer, read } = setUp();
    await producer.usage.touch('m', 'a');
    assert.equal(await masked(await read()), `{"a": ${NEW}}`);
    await producer.usage.touch('m', 'b"\\/é😀');
    assert.equal(await masked(await read()), `{"a": ${NEW}, "b\\"\\\\/\\u00e9\\ud83d\\ude00": ${NEW}}`);
  });

  const others = '"x": {"updated_at": 1700000001}';
  const cases: [what: string, session: string, before: string, after: string][] = [
    ['adds a session', 's', `{${others}}`, `{${others}, "s": ${NEW}}`],
    ['refreshes a session', 's', `{"s": {"updated_at": ${OLD}}, ${others}}`, `{"s": ${NEW}, ${others}}`],
    ['refreshes the last session', 's', `{${others}, "s": {"updated_at": ${OLD}}}`, `{${others}, "s": ${NEW}}`],
    ['fills an empty entry', 's', ' { } ', `{"s": ${NEW}}`],
    ['keeps spaces when it adds', 's', ` { ${others}\n}\n`, ` { ${others}, "s": ${NEW}\n}\n`],
    [
      'keeps other fields',
      's',
      `{"s": {"n": [], "updated_at":${OLD}.5 , "big": 12345678901234567890}, "t": {"s": {"updated_at": 1}}}`,
      '{"s": {"n": [], "updated_at":NOW , "big": 12345678901234567890}, "t": {"s": {"updated_at": 1}}}',
    ],
    [
      'uses the last of two sessions with the same name',
      's',
      `{"s": {"updated_at": 1}, "s": {"updated_at": 2}}`,
      `{"s": {"updated_at": 1}, "s": ${NEW}}`,
    ],
    [
      'uses the last of two sessions with the same name, one escaped',
      's',
      `{"s": {"updated_at": 1}, "\\u0073": {"updated_at": 2}}`,
      `{"s": {"updated_at": 1}, "\\u0073": ${NEW}}`,
    ],
    ['knows a session by another spelling', 'é/', `{"é\\/": {"updated_at": 1}}`, `{"é\\/": ${NEW}}`],
    ['knows a session that is not escaped', 'é', `{"é": {"updated_at": 1}}`, `{"é": ${NEW}}`],
    ['replaces details that are no object', 's', `{"s": [1, 2], ${others}}`, `{"s": ${NEW}, ${others}}`],
    ['replaces details without a time', 's', `{"s": {"n": "}"}, ${others}}`, `{"s": ${NEW}, ${others}}`],
    [
      'is not misled by text that looks like a session',
      's',
      `{"a\\"s": {"updated_at": 1}, "t": {"x": ", \\"s\\": {\\"updated_at\\": 1}"}}`,
      `{"a\\"s": {"updated_at": 1}, "t": {"x": ", \\"s\\": {\\"updated_at\\": 1}"}, "s": ${NEW}}`,
    ],
    [
      'is not misled by a session with a misleading name',
      ': {',
      `{"a": {"updated_at": 1}, "": {"updated_at": 1}}`,
      `{"a": {"updated_at": 1}, "": {"updated_at": 1}, ": {": ${NEW}}`,
    ],
  ];
  for (const [what, session, before, expected] of cases) {
    it(`${what}, and leaves every other byte unchanged`, async () => {
      const { producer, keys, read } = setUp();
      await client.hset(keys.usagePool, 'm', before);
      await producer.usage.touch('m', session);
      assert.equal(await masked(await read()), expected);
    });
  }

  it("publishes the number of a model's sessions when it changes", async () => {
    const { producer, keys } = setUp();
    const messages: unknown[] = [];
    const subscriber = fleet.redis.client();
    await subscriber.subscribe(keys.usageChanges);
    subscriber.on('message', (_, message) => messages.push(JSON.parse(message)));
    await client.hset(keys.usagePool, 'odd', '{"\\u0061": {}, "b": 1}');
    for (const [model, session] of [
      ['m', 'a'],
      ['m', 'a'],
      ['m', 'b'],
      ['m', 'c'],
      ['m "é"', 'a'],
      ['odd', 'a'],
      ['odd', 'c'],
    ] as const)
      await producer.usage.touch(model, session);
    await subscriber.ping();
    assert.deepEqual(messages, [
      { models: { m: 1 } },
      { models: { m: 2 } },
      { models: { m: 3 } },
      { models: { 'm "é"': 1 } },
      { models: { odd: 3 } },
    ]);
  });

  it('refuses an entry that is not a JSON object, and leaves it unchanged', async () => {
    const { producer, keys, read } = setUp();
    for (const bad of [
      '',
      'no JSON',
      '[]',
      'null',
      '5',
      '{"a": {"updated_at": 1}',
      '{"a": {"updated_at": 1}, }',
      '{"a": {"updated_at": 1} "b": {"updated_at": 1}}',
    ]) {
      await client.hset(keys.usagePool, 'm', bad);
      await assert.rejects(producer.usage.touch('m', 'a'), {
        code: 'MALFORMED_DATA',
        message: `Bad entry "m" of ${keys.usagePool}: expected a JSON object. It was not changed.`,
      });
      assert.equal(await read(), bad);
    }
  });

  it('refuses a pool that is not a hash', async () => {
    const { producer, keys } = setUp();
    await client.set(keys.usagePool, 'text');
    for (const call of [producer.usage.touch('m', 'a'), producer.usage.inUse()]) {
      await assert.rejects(call, { code: 'MALFORMED_DATA', message: `Bad ${keys.usagePool}: expected a hash. It was not changed.` });
    }
    assert.equal(await client.get(keys.usagePool), 'text');
  });

  it('refuses a bad model or session, naming it', async () => {
    const { producer, keys } = setUp();
    const bad: [unknown, RegExp][] = [
      ['', /1 to 256 characters, got 0/],
      ['x'.repeat(257), /got 257/],
      ['a\nb', /control characters, got "a\\nb"/],
      ['\ud800', /well-formed/],
      [5, /a string, got number/],
      [null, /got null/],
      [undefined, /got undefined/],
    ];
    for (const [value, message] of bad) {
      const named = (field: string) => (error: Error & { code: string; details: unknown }) => {
        assert.equal(error.code, 'INVALID_INPUT');
        assert.deepEqual(error.details, { fields: [field] });
        assert.match(error.message, message);
        return error.message.startsWith(`Bad ${field}: `);
      };
      await assert.rejects(producer.usage.touch(value as string, 'a'), named('model'));
      await assert.rejects(producer.usage.touch('m', value as string), named('session'));
    }
    assert.equal(await client.exists(keys.usagePool), 0);
    await producer.usage.touch('m'.repeat(256), '{"}, \\'.repeat(36));
  });
});

describe('usage.inUse', () => {
  it('returns the sorted models in use', async () => {
    const { producer } = setUp();
    assert.deepEqual(await producer.usage.inUse(), []);
    for (const model of ['llama', 'gpt-4', 'gpt-4', 'ä']) await producer.usage.touch(model, 's');
    assert.deepEqual(await producer.usage.inUse(), ['gpt-4', 'llama', 'ä']);
  });
});

describe('Concurrent touches and clean-ups', () => {
  /** Expired sessions in the pool, so that the cleaner has something to remove from every model. */
  const ADD_STALE = `
    local text = redis.call('HGET', KEYS[1], ARGV[1])
    if text then redis.call('HSET', KEYS[1], ARGV[1], '{"' .. ARGV[2] .. '": {"updated_at": 1}, ' .. string.sub(text, 2)) end`;

  it('lose no session and leave no expired one', async () => {
    const [models, rounds, atOnce] = [20, 100, 50];
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const { redis, keys } = fleet.store({ keyPrefix });
    const pool = { key: keys.usagePool, lock: keys.usageLock, channel: keys.usageChanges, shape: 'usage', timeoutMs: 3_600_000 } as const;
    const cleaner = new PoolCleaner({
      connection: () => Promise.resolve(redis),
      pool,
      lockMs: 60_000,
      logger: new LogLines().loggers('cleanup'),
    });
    const run = (): ReturnType<PoolCleaner['run']> => cleaner.run('task-1', new AbortController().signal);

    const touched = new AbortController();
    let cut = 0;
    const cleaning = (async () => {
      while (!touched.signal.aborted) cut += (await run()).sessions;
    })();
    for (let round = 0; round < rounds; round += 1) {
      const touches = Array.from({ length: atOnce }, (_, index) => {
        const n = round * atOnce + index;
        return producer.usage.touch(`model-${n % models}`, `session-${n % 2 ? n : n % 500}`);
      });
      await Promise.all([
        ...touches,
        ...Array.from({ length: 5 }, (_, index) =>
          client.eval(ADD_STALE, 1, keys.usagePool, `model-${(round + index) % models}`, `stale-${round}-${index}`),
        ),
      ]);
    }
    touched.abort();
    await cleaning;
    cut += (await run()).sessions;

    const expected = new Set(Array.from({ length: rounds * atOnce }, (_, n) => `model-${n % models} session-${n % 2 ? n : n % 500}`));
    const left = Object.entries(await client.hgetall(keys.usagePool)).flatMap(([model, text]) =>
      Object.keys(JSON.parse(text) as object).map((session) => `${model} ${session}`),
    );
    assert.deepEqual(left.toSorted(), [...expected].toSorted());
    assert.ok(cut > 300, `${cut} expired sessions were cut out`);
  });
});
