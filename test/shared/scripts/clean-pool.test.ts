import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { CleanedBatch } from '../../../shared/scripts/define-scripts.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

const { redis, keys } = fleet.store();
const [OLD, NEW] = [1_700_000_000, 4_000_000_000];
const LOCK_MS = 60_000;

function batch(shape: 'usage' | 'session', cursor = '0', bytes = 1_000_000_000): Promise<CleanedBatch> {
  const [pool, lock, channel] =
    shape === 'usage' ? [keys.usagePool, keys.usageLock, keys.usageChanges] : [keys.sessionPool, keys.sessionLock, keys.sessionChanges];
  return redis.cleanPool(pool, lock, 'me', LOCK_MS, cursor, bytes, 3, shape, channel);
}

/** Cleans these entries. Returns the remaining ones and the counts of the script. */
async function clean(
  shape: 'usage' | 'session',
  entries: Readonly<Record<string, string>>,
): Promise<{ left: Record<string, string>; counts: unknown[] }> {
  const [pool, lock] = shape === 'usage' ? [keys.usagePool, keys.usageLock] : [keys.sessionPool, keys.sessionLock];
  await client.multi().del(pool).hset(pool, entries).set(lock, 'me').exec();
  const [what, cursor, ...counts] = await batch(shape);
  assert.deepEqual([what, cursor], ['done', '0']);
  return { left: await client.hgetall(pool), counts };
}

/** Returns the entry of one model after a clean-up; null if it was removed. */
async function cleaned(text: string): Promise<string | null> {
  return (await clean('usage', { m: text })).left['m'] ?? null;
}

const at = (seconds: number): string => `{"updated_at": ${seconds}}`;

describe('A clean-up of the usage pool', () => {
  it('removes expired sessions with their commas', async () => {
    const sessions = ['a', 'b', 'c', 'd'];
    for (let kept = 0; kept < 16; kept += 1) {
      const isKept = (_: string, index: number): boolean => (kept & (1 << index)) !== 0;
      const text = `{${sessions.map((name, index) => `"${name}": ${at(isKept(name, index) ? NEW : OLD)}`).join(', ')}}`;
      const expected =
        kept === 0
          ? null
          : `{${sessions
              .filter(isKept)
              .map((name) => `"${name}": ${at(NEW)}`)
              .join(', ')}}`;
      assert.equal(await cleaned(text), expected);
      assert.equal(await cleaned(text.replaceAll(' ', '')), expected && expected.replaceAll(' ', ''), 'in the format of JSON.stringify');
    }
  });

  it('leaves live sessions unchanged, byte for byte', async () => {
    const texts = [
      `{"a": ${at(NEW)}}`,
      ` {\n "a" :\t{ "updated_at":${NEW} } , "b":{"updated_at": ${NEW}.5e0}}\r\n`,
      `{"a": {"updated_at": ${NEW}, "more": [], "none": {}, "big": 12345678901234567890, "x": "}, \\"b\\": {"}, "b": ${at(NEW)}}`,
      `{"\\u00e9\\ud83d\\ude00\\"": ${at(NEW)}, "é": ${at(NEW)}, "": ${at(NEW)}}`,
    ];
    for (const text of texts) assert.equal(await cleaned(text), text);
  });

  it('removes only expired sessions from JSON in any format', async () => {
    const cases: [text: string, left: string | null][] = [
      [
        `{"a": ${at(OLD)}, "b": {"updated_at": ${NEW}, "more": [], "big": 12345678901234567890}}`,
        `{"b": {"updated_at": ${NEW}, "more": [], "big": 12345678901234567890}}`,
      ],
      [` { "a" : ${at(OLD)} , "b":${at(NEW)} ,"c":${at(OLD)} } `, ` { "b":${at(NEW)} } `],
      [`{\n  "a": ${at(NEW)},\n  "b": ${at(OLD)},\n  "c": ${at(NEW)}\n}`, `{\n  "a": ${at(NEW)},\n  "c": ${at(NEW)}\n}`],
      [`{"a\\"}": {"updated_at": ${OLD}, "x": "{[\\\\"}, "\\u0062": ${at(NEW)}}`, `{"\\u0062": ${at(NEW)}}`],
      [`{"a": {"updated_at": ${OLD}, "deep": [[{"b": ${at(NEW)}}]]}, "c": ${at(NEW)}}`, `{"c": ${at(NEW)}}`],
      [`{"a": ${at(NEW)}, "b": {"updated_at": -1}, "c": {"updated_at": 0}, "d": {"updated_at": 1e3}}`, `{"a": ${at(NEW)}}`],
      ['{}', null],
      [' { } ', null],
    ];
    for (const [text, left] of cases) assert.equal(await cleaned(text), left, text);
  });

  it('uses the last of two sessions with the same name, like every JSON parser', async () => {
    const [oldNew, newOld] = [`{"a": ${at(OLD)}, "a": ${at(NEW)}, "b": ${at(OLD)}}`, `{"a": ${at(NEW)}, "a": ${at(OLD)}, "b": ${at(NEW)}}`];
    assert.equal(await cleaned(oldNew), `{"a": ${at(OLD)}, "a": ${at(NEW)}}`);
    assert.equal(await cleaned(newOld), `{"b": ${at(NEW)}}`);
    assert.equal(await cleaned(`{"a": ${at(OLD)}, "\\u0061": ${at(NEW)}, "b": ${at(OLD)}}`), `{"a": ${at(OLD)}, "\\u0061": ${at(NEW)}}`);
  });

  it('leaves unreadable entries unchanged, and returns their names', async () => {
    const bad = [
      '',
      'no JSON',
      'null',
      '[]',
      `[${at(OLD)}]`,
      '5',
      '"x"',
      `{"a": ${at(OLD)}`,
      `{"a": ${at(OLD)},}`,
      `{"a": ${at(OLD)}} x`,
      `{"a": ${at(OLD)} "b": ${at(OLD)}}`,
      `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`,
    ];
    const badSessions = [
      '{"a": null}',
      '{"a": []}',
      '{"a": 5}',
      '{"a": {}}',
      `{"a": {"updated_at": "${OLD}"}}`,
      '{"a": {"updated_at": null}}',
      '{"a": {"updated_at": NaN}}',
      '{"a": {"updated_at": -Infinity}}',
      '{"a": {"updated_at": 1e999}}',
    ];
    for (const text of [...bad, ...badSessions]) {
      const { left, counts } = await clean('usage', { 'a model': text });
      assert.deepEqual([left, counts], [{ 'a model': text }, [1, 0, 0, 1, 'a model']], text);
    }
    const { left, counts } = await clean('usage', { m: `{"a": null, "b": ${at(OLD)}, "c": 1}` });
    assert.deepEqual([left, counts], [{ m: '{"a": null, "c": 1}' }, [1, 0, 1, 2, 'm']]);
    const many = await clean('usage', Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`${index}${'x'.repeat(500)}`, 'bad'])));
    assert.deepEqual(
      [many.counts.slice(0, 4), many.counts.slice(4).map((name) => String(name).length)],
      [
        [9, 0, 0, 9],
        [256, 256, 256, 256, 256],
      ],
    );
  });

  it('compares seconds like open-webui: a session expires when it is older than the timeout', async () => {
    const [seconds] = await client.time();
    const now = Number(seconds);
    // No age equals the timeout: the second may change meanwhile.
    const text = (ago: number): string => `{"a": ${at(now - ago)}}`;
    const { left } = await clean('usage', { young: text(2), old: text(4), future: text(-100) });
    assert.deepEqual(Object.keys(left).toSorted(), ['future', 'young']);
  });

  it('gives the same result for an object in any JSON format', async () => {
    const blank = fc.constantFrom('', '', ' ', '\n  ', '\t ');
    const string = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.constantFrom('"', '\\', '}, "', '{', 'updated_at', ': {"updated_at": 1}'),
    );
    const written = fc
      .tuple(string, fc.boolean())
      .map(([text, ascii]) =>
        ascii
          ? JSON.stringify(text).replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
          : JSON.stringify(text.toWellFormed()),
      );
    const field = fc
      .tuple(written, blank, fc.oneof(fc.json({ maxDepth: 2 }), written))
      .map(([name, space, value]) => `${name}${space}:${space}${value}`);
    const member = fc.record({
      name: written,
      before: blank,
      colon: blank,
      old: fc.boolean(),
      fields: fc.array(field, { maxLength: 2 }),
      comma: blank,
      plain: fc.boolean(),
    });
    const object = fc.record({
      members: fc.uniqueArray(member, { minLength: 1, maxLength: 8, selector: ({ name }) => JSON.parse(name) as string }),
      plain: fc.boolean(),
      end: blank,
    });
    await fc.assert(
      fc.asyncProperty(object, async ({ members, plain, end }) => {
        const parts = members.map(({ name, before, colon, old, fields, comma }, index) => {
          const time = `"updated_at": ${old ? OLD : NEW}`;
          if (plain) return { gap: index > 0 ? ', ' : '', text: `${name}: {${time}}`, old };
          const others = fields.filter((one) => JSON.parse(`{${one}}`).updated_at === undefined);
          return {
            gap: `${index > 0 ? `${comma},` : ''}${before}`,
            text: `${name}${colon}:${colon}{${[...others, time].join(', ')}}`,
            old,
          };
        });
        const tail = `${plain ? '' : end}}`;
        const kept = parts.filter(({ old }) => !old);
        const text = `{${parts.map(({ gap, text: part }) => gap + part).join('')}${tail}`;
        const expected = `{${parts[0]?.gap}${kept.map(({ gap, text: part }, index) => (index > 0 ? gap : '') + part).join('')}${tail}`;
        assert.equal(await cleaned(text), kept.length > 0 ? expected : null, text);
      }),
      { numRuns: Number(process.env['RUNS'] ?? 100) },
    );
  });
});

describe('A clean-up of the session pool', () => {
  it('removes entries last seen long ago or never, and leaves the rest unchanged', async () => {
    const kept = {
      seen: `{"id": "u", "last_seen_at": ${NEW}, "info": [], "big": 12345678901234567890}`,
      'empty, as open-webui keeps it': '{}',
      'no JSON': '{',
      'no object': `[{"last_seen_at": ${OLD}}]`,
      'no number': '{"last_seen_at": "long ago"}',
      nothing: '{"last_seen_at": null}',
    };
    const { left, counts } = await clean('session', { ...kept, old: `{"id": "u", "last_seen_at": ${OLD}}`, never: '{"id": "u"}' });
    assert.deepEqual([left, counts.slice(0, 4), counts.length], [kept, [8, 2, 2, 5], 9]);
  });
});

describe('A batch', () => {
  it('does nothing at all without the lock', async () => {
    await client.hset(keys.usagePool, 'mine', `{"a": ${at(OLD)}}`);
    for (const holder of ['somebody else', null]) {
      await (holder === null ? client.del(keys.usageLock) : client.set(keys.usageLock, holder));
      assert.deepEqual(await batch('usage'), ['lost']);
      assert.equal(await client.get(keys.usageLock), holder);
    }
    await client.del(keys.usageLock);
    await client.lpush(keys.usageLock, 'me');
    assert.deepEqual(await batch('usage'), ['lost']);
    await client.del(keys.usageLock);
    assert.equal(await client.hget(keys.usagePool, 'mine'), `{"a": ${at(OLD)}}`);
  });

  it('renews the lock, and handles a bounded share of a large pool', async () => {
    const text = `{${Array.from({ length: 100 }, (_, index) => `"session-${index}": ${at(index % 2 ? OLD : NEW)}`).join(', ')}}`;
    await client
      .multi()
      .del(keys.usagePool)
      .hset(keys.usagePool, Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`model-${index}`, text])))
      .set(keys.usageLock, 'me', 'PX', 1_000)
      .exec();
    let [cursor, batches, sessions, maxEntries] = ['0', 0, 0, 0];
    do {
      const found = await batch('usage', cursor, 65_536);
      assert.equal(found[0], 'done');
      if (found[0] !== 'done') return;
      cursor = found[1];
      maxEntries = Math.max(maxEntries, found[2]);
      sessions += found[4];
      batches += 1;
    } while (cursor !== '0');
    assert.equal(sessions, 10_000);
    assert.ok(maxEntries * text.length < 65_536 * 2.5 && batches >= 8, `${batches} batches, at most ${maxEntries} entries`);
    assert.ok((await client.pttl(keys.usageLock)) > 1_000);
  });

  it('publishes all changes in one message, and nothing without a change', async () => {
    const messages: string[] = [];
    const subscriber = fleet.redis.client();
    await subscriber.subscribe(keys.usageChanges, keys.sessionChanges);
    subscriber.on('message', (_, message) => messages.push(message));
    await clean('usage', {
      'gpt-4': `{"a": ${at(NEW)}, "b": ${at(OLD)}}`,
      'a "b" é': `{"a": ${at(OLD)}}`,
      same: `{"a": ${at(NEW)}}`,
      none: '{}',
    });
    await clean('session', { 'a "b" é': '{"id": 1}', young: `{"last_seen_at": ${NEW}}` });
    await clean('usage', { same: `{"a": ${at(NEW)}}` });
    await clean('session', { young: `{"last_seen_at": ${NEW}}` });
    await subscriber.ping();
    assert.deepEqual(
      messages.map((message) => JSON.parse(message) as unknown),
      [{ models: { 'gpt-4': 1, 'a "b" é': 0, none: 0 } }, { gone: ['a "b" é'] }],
    );
  });

  it('treats a missing pool as empty, and returns the type of a pool that is not a hash', async () => {
    await client.multi().del(keys.usagePool).set(keys.usageLock, 'me').exec();
    assert.deepEqual(await batch('usage'), ['done', '0', 0, 0, 0, 0]);
    await client.set(keys.usagePool, 'text');
    assert.deepEqual(await batch('usage'), ['wrong-type', 'string']);
  });

  it('removes thousands of entries at once', async () => {
    const { left, counts } = await clean(
      'session',
      Object.fromEntries(Array.from({ length: 9_000 }, (_, index) => [`session-${index}`, `{"id": ${index}}`])),
    );
    assert.deepEqual([left, counts], [{}, [9_000, 9_000, 9_000, 0]]);
  });
});
