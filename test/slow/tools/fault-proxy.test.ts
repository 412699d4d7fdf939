/** The proxy of the fault tests: it causes exactly the documented faults. */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Redis, type RedisOptions } from 'ioredis';
import { eventOf } from '../../support/event.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { RespFrames } from '../../support/network/resp-frames.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';

const ONCE = { maxRetriesPerRequest: 0, retryStrategy: () => null };

describe('FaultProxy', () => {
  let redis: TestRedis;
  let direct: Redis;
  let proxy: FaultProxy;
  let key: string;
  let clients: Redis[];

  before(async () => {
    redis = await startTestRedis();
    direct = redis.client();
  });
  beforeEach(async () => {
    proxy = await FaultProxy.start(redis.port);
    key = randomUUID();
    clients = [];
  });
  afterEach(async () => {
    for (const client of clients) client.disconnect();
    await proxy.stop();
  });
  after(() => redis.stop());

  /** Connects through the proxy with ioredis's defaults, except that it reconnects at once. */
  async function open(options: Omit<RedisOptions, 'replyMapping'> = {}): Promise<Redis> {
    const client = new Redis(proxy.url, { retryStrategy: () => 20, ...options });
    client.on('error', () => undefined);
    clients.push(client);
    if (client.status !== 'wait') await once(client, 'ready');
    return client;
  }

  it('listens below the ephemeral ports, and passes on data of any size and order', async () => {
    assert.ok(proxy.port < 32_000);
    const client = await open();
    const large = 'x'.repeat(5_000_000);
    const answers = await Promise.all([
      client.set(key, large),
      client.get(key),
      client.mget(key, 'none'),
      client.eval('return {1, {2, {}}, "three"}', 0),
    ]);
    assert.deepEqual(answers, ['OK', large, [large, null], [1, [2, []], 'three']]);
    assert.deepEqual([proxy.accepted, proxy.connections], [1, 1]);
    const gone = once(client, 'end');
    client.disconnect();
    await gone;
    await until(
      () => proxy.connections,
      (count) => count === 0,
    );
  });

  it('delays each direction, and keeps the order when the delay decreases', async () => {
    const client = await open();
    proxy.delay(100);
    const started = performance.now();
    const read = new Promise<void>((resolve) => {
      void proxy.loseReply((request) => {
        if (request.includes('first')) setImmediate(resolve);
        return false;
      });
    });
    const first = client.rpush(key, 'first');
    await read;
    proxy.delay(1);
    await Promise.all([first, client.rpush(key, 'second')]);
    assert.ok(performance.now() - started >= 100, `${performance.now() - started} ms`);
    proxy.delay(50);
    const again = performance.now();
    assert.deepEqual(await client.lrange(key, 0, -1), ['first', 'second']);
    // A timer may fire up to 1 ms early.
    assert.ok(performance.now() - again >= 98, `${performance.now() - again} ms`);
  });

  it('resets every connection of a process, which can reconnect', async () => {
    const all = [await open(), await open()];
    const errors = all.map((client) => eventOf(client, 'error'));
    const back = all.map((client) => eventOf(client, 'ready'));
    proxy.reset();
    for (const error of errors) assert.equal(((await error)[0] as NodeJS.ErrnoException).code, 'ECONNRESET');
    await Promise.all(back);
    assert.deepEqual([proxy.accepted, proxy.connections], [4, 2]);
  });

  it('refuses new connections while present ones go on, then accepts again on the same port', async () => {
    const client = await open();
    proxy.refuse();
    const late = new Redis(proxy.url, { lazyConnect: true, ...ONCE });
    const refused = eventOf(late, 'error');
    await assert.rejects(late.connect());
    assert.equal(((await refused)[0] as NodeJS.ErrnoException).code, 'ECONNREFUSED');
    assert.equal(await client.ping(), 'PONG');
    await proxy.accept();
    assert.equal(await (await open()).ping(), 'PONG');
  });

  it("half-open: a client with ioredis's defaults notices nothing, one with a socket timeout does", async () => {
    const [unaware, watchful] = [await open(), await open({ socketTimeout: 600, maxRetriesPerRequest: 0 })];
    const heard: string[] = [];
    for (const event of ['error', 'close', 'end', 'reconnecting']) unaware.on(event, () => heard.push(event));
    proxy.halfOpen();
    void unaware.set(key, 'lost').then(
      () => heard.push('reply'),
      () => heard.push('rejection'),
    );
    await assert.rejects(watchful.ping());
    assert.deepEqual([heard, unaware.status, await direct.exists(key)], [[], 'ready', 0]);
  });

  it('half-open: neither end learns that the other has closed, and new connections are not answered', async () => {
    const [leaving, staying] = [await open({ connectionName: key }), await open()];
    const isConnected = async () => ((await direct.client('LIST')) as string).includes(`name=${key}`);
    const id = await staying.client('ID');
    proxy.halfOpen();
    const late = connect(proxy.port, '127.0.0.1');
    await once(late, 'connect');
    late.on('data', () => assert.fail('A half-open connection was answered'));
    late.write('PING\r\n');
    const gone = once(leaving, 'end');
    leaving.disconnect();
    await gone;
    await direct.client('KILL', 'ID', id);
    // Both ends were closed before these round trips on the same event loop: the proxy knows.
    assert.equal(await direct.ping(), 'PONG');
    assert.deepEqual([await isConnected(), staying.status, late.readyState], [true, 'ready', 'open']);
    const told = eventOf(staying, 'close');
    await proxy.heal();
    await told;
    await until(isConnected, (connected) => !connected);
    late.destroy();
  });

  it('healed: a connection that has lost bytes stays silent, one that has lost none goes on', async () => {
    const [lossy, idle] = [await open({ socketTimeout: 600, maxRetriesPerRequest: 0 }), await open()];
    const vanished = proxy.halfOpenAt(key);
    const lost = lossy.set(key, 'lost').catch((error: Error) => error);
    await vanished;
    await proxy.heal();
    assert.equal(await idle.ping(), 'PONG');
    assert.ok((await lost) instanceof Error);
    assert.equal(await direct.exists(key), 0);
    assert.equal(await (await open()).ping(), 'PONG');
  });

  it('half-open for present connections only: new ones work', async () => {
    const old = await open({ socketTimeout: 600, maxRetriesPerRequest: 0 });
    proxy.halfOpen({ newConnections: false });
    const lost = old.set(key, 'lost').catch((error: Error) => error);
    assert.equal(await (await open()).ping(), 'PONG');
    assert.ok((await lost) instanceof Error);
    assert.equal(await direct.exists(key), 0);
    assert.equal(await old.ping(), 'PONG', 'it has reconnected');
  });

  it('split to the client: requests run without a reply', async () => {
    const client = await open();
    proxy.split('toClient');
    let answered = false;
    void client
      .incr(key)
      .finally(() => (answered = true))
      .catch(() => undefined);
    await until(
      () => direct.get(key),
      (value) => value === '1',
    );
    assert.equal(answered, false);
  });

  it('split to the server: nothing runs, and messages still arrive', async () => {
    const [client, subscriber] = [await open(), await open()];
    await subscriber.subscribe(key);
    proxy.split('toServer');
    void client.incr(key).catch(() => undefined);
    const message = eventOf(subscriber, 'message');
    await direct.publish(key, 'hello');
    assert.deepEqual(await message, [key, 'hello']);
    assert.equal(await direct.exists(key), 0);
  });

  it('stalled: nothing arrives until it is healed, then everything does', async () => {
    const client = await open();
    proxy.stall();
    const sent = client.incr(key);
    const late = connect(proxy.port, '127.0.0.1');
    let answer = '';
    late.on('data', (data) => {
      answer += String(data);
    });
    await once(late, 'connect');
    late.write('PING\r\n');
    // Many turns of the proxy's event loop: more than an answer needs.
    for (let turn = 0; turn < 20; turn += 1) await direct.ping();
    assert.deepEqual([await direct.exists(key), answer], [0, '']);
    await proxy.heal();
    assert.equal(await sent, 1);
    await until(
      () => answer,
      (text) => text === '+PONG\r\n',
    );
    late.destroy();
  });

  it('loses the reply to one request, which has run; earlier requests are answered', async () => {
    const [client, other] = [await open({ maxRetriesPerRequest: 0 }), await open()];
    const lost = proxy.loseReply(`lose-${key}`);
    const answers = await Promise.allSettled([
      client.incr(key),
      client.eval(`return redis.call("INCR", KEYS[1]) -- lose-${key}`, 1, key),
      client.ping(),
    ]);
    await lost;
    assert.deepEqual(
      answers.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    );
    assert.equal(await other.get(key), '2');
    assert.equal(await client.eval(`return redis.call("INCR", KEYS[1]) -- lose-${key}`, 1, key), 3, 'one reply only');
  });

  it('passes on an error reply instead of losing it, since nothing has run', async () => {
    const client = await open({ maxRetriesPerRequest: 0 });
    const lua = `return redis.call("INCR", KEYS[1]) -- ${randomUUID()}`;
    const lost = proxy.loseReply(key);
    await assert.rejects(client.evalsha(createHash('sha1').update(lua).digest('hex'), 1, key), /NOSCRIPT/);
    await assert.rejects(client.eval(lua, 1, key), (error: Error) => !error.message.includes('NOSCRIPT'));
    await lost;
    assert.equal(await direct.get(key), '1');
  });

  it('goes half-open at the nth matching request, which does not arrive', async () => {
    const client = await open();
    const held = proxy.halfOpenAt(key, 2);
    assert.equal(await client.rpush(key, 'first'), 1);
    void client.rpush(key, 'second').catch(() => undefined);
    await held;
    assert.deepEqual(await direct.lrange(key, 0, -1), ['first']);
  });

  it('stop frees the port and closes all connections, and may be called twice', async () => {
    const client = await open(ONCE);
    const ended = eventOf(client, 'end');
    await Promise.all([proxy.stop(), proxy.stop()]);
    await ended;
    const late = new Redis(proxy.url, { lazyConnect: true, ...ONCE });
    late.on('error', () => undefined);
    await assert.rejects(late.connect());
    assert.equal(proxy.connections, 0);
  });
});

it('RespFrames finds the same frames for any chunking', () => {
  const frames = [
    '+OK\r\n',
    ':1\r\n',
    '-ERR no\r\n',
    '$-1\r\n',
    '*-1\r\n',
    '$0\r\n\r\n',
    '$4\r\n\r\n$1\r\n',
    '*0\r\n',
    '*2\r\n*1\r\n:1\r\n$1\r\nx\r\n',
    'PING\r\n',
    '%1\r\n+key\r\n*2\r\n_\r\n#t\r\n',
    '~1\r\n,1.5\r\n',
    '>2\r\n+message\r\n=5\r\ntxt:x\r\n',
    '|1\r\n+ttl\r\n:1\r\n$1\r\ny\r\n',
    '!3\r\nERR\r\n',
    '(12345678901234567890\r\n',
  ];
  const stream = Buffer.from(frames.join(''));
  for (const size of [1, 2, 3, 7, 50, stream.length]) {
    const cut = new RespFrames();
    const chunks = Array.from({ length: Math.ceil(stream.length / size) }, (_, index) => stream.subarray(index * size, (index + 1) * size));
    assert.deepEqual(chunks.flatMap((chunk) => cut.split(chunk)).map(String), frames, `in chunks of ${size}`);
  }
});
