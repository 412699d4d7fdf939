/** The calls of scripts reach Redis byte for byte, whatever their arguments, as EVAL once and as EVALSHA from then on. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Command, type Redis } from 'ioredis';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { connect, hangUp } from '../../../shared/redis/connect.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../../shared/store.js';
import { startTestRedis } from '../../support/redis/test-redis.js';

const redis = await startTestRedis();
const settings = resolveSettings({ redisUrl: redis.url }) as ConnectedSettings;
const logger = createLoggerFactory({ settings, destination: { write: () => undefined } })('redis');
const connection = connect({ settings, policy: 'wait', logger, name: 'test-encoding' }) as Redis & {
  echoArgsBuffer(...args: (string | number | Buffer)[]): Promise<Buffer[]>;
};
after(async () => {
  hangUp(connection);
  await redis.stop();
});
connection.defineCommand('echoArgs', { numberOfKeys: 1, lua: 'return {KEYS[1], unpack(ARGV)}' });

const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const CALLS: Readonly<Record<string, readonly (string | number | Buffer)[]>> = {
  'text only': ['key', 'text', 7, ''],
  'every byte': ['key', BYTES, 'text'],
  'an empty buffer, a line break, a number': ['key', Buffer.alloc(0), 'a\r\nb', 1.5],
  'a text beyond ASCII beside a buffer': ['schlüssel', BYTES, '€ 😀'],
  'a text of Latin-1 beside a buffer': ['key', BYTES, 'ÿ'],
};
for (const [name, args] of Object.entries(CALLS)) {
  test(`Redis gets ${name}`, async () => {
    const reply = await connection.echoArgsBuffer(...args);
    assert.deepEqual(
      reply,
      args.map((arg) => (Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg)))),
    );
  });
}

test('a script is sent as a text once, and again after Redis has lost it', async () => {
  const calls = async (): Promise<string[]> => {
    const text = await redis.client().info('commandstats');
    return [...text.matchAll(/^cmdstat_(evalsha|eval):calls=(\d+)/gm)].map(([, name, count]) => `${name} ${count}`).toSorted();
  };
  await redis.client().config('RESETSTAT');
  for (let call = 0; call < 3; call += 1) await connection.echoArgsBuffer('key', BYTES);
  assert.deepEqual(await calls(), ['evalsha 3']);
  await redis.client().script('FLUSH');
  assert.deepEqual(await connection.echoArgsBuffer('key', BYTES), [Buffer.from('key'), BYTES]);
  assert.deepEqual(await calls(), ['eval 1', 'evalsha 4']);
});

test('ioredis has a class of commands for each script, below Command', () => {
  const scripts = connection as unknown as { scriptsSet: Record<string, { Command: { prototype: object } }> };
  const above = Object.getPrototypeOf(scripts.scriptsSet['echoArgs']?.Command.prototype) as object;
  assert.notEqual(above, Command.prototype, 'the calls of scripts are not encoded at once');
  assert.equal(Object.getPrototypeOf(above), Command.prototype);
});
