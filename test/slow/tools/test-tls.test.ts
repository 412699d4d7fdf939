/** TLS and Redis users in the tests. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { type TestRedis, type TestRedisOptions, startTestRedis } from '../../support/redis/test-redis.js';
import { TestTls } from '../../support/redis/test-tls.js';

/** Returns the answer to one PING, or the code or text of the error. */
async function ping(url: string, tls?: ConnectionOptions): Promise<string> {
  const client = new Redis(url, {
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    protocol: 2,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    ...(tls === undefined ? {} : { tls }),
  });
  let said: Error | undefined;
  client.on('error', (error: Error) => {
    said = error;
  });
  try {
    await client.connect();
    return await client.ping();
  } catch (error) {
    // The error of the connection is more precise than that of the command.
    const reason = (said ?? error) as NodeJS.ErrnoException;
    return reason.code ?? reason.message;
  } finally {
    client.disconnect();
  }
}

describe('TestTls', () => {
  const servers: TestRedis[] = [];
  let [free, strict, foreign]: TestTls[] = [];

  async function start(options: TestRedisOptions): Promise<TestRedis> {
    const server = await startTestRedis(options);
    servers.push(server);
    return server;
  }

  before(async () => {
    [free, strict, foreign] = await Promise.all([TestTls.create(), TestTls.create({ clientCertificates: true }), TestTls.create()]);
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    const all = [free, strict, foreign] as TestTls[];
    await Promise.all(all.map((tls) => tls.remove()));
    assert.deepEqual(
      all.filter(({ caFile }) => existsSync(caFile)),
      [],
    );
  });

  it('makes a server trusted by address and by name, by clients with its CA only', async () => {
    const tls = free as TestTls;
    const server = await start({ tls });
    assert.equal(server.url, `rediss://127.0.0.1:${server.port}`);
    assert.equal(await server.client().ping(), 'PONG');
    assert.equal(await ping(server.url, tls.anonymous), 'PONG');
    assert.equal(await ping(server.url.replace('127.0.0.1', 'localhost'), tls.anonymous), 'PONG');
    assert.match(
      await ping(server.url),
      /^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/,
    );
    assert.match(
      await ping(server.url, (foreign as TestTls).anonymous),
      /^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/,
    );
    assert.equal(await ping(server.url, { ...tls.anonymous, servername: 'elsewhere.example' }), 'ERR_TLS_CERT_ALTNAME_INVALID');
    assert.match(await ping(server.url.replace('rediss', 'redis')), /ECONNRESET|closed|EPIPE/);
  });

  it('can require a client certificate of the same CA', async () => {
    const tls = strict as TestTls;
    const server = await start({ tls });
    assert.equal(await ping(server.url, tls.client), 'PONG');
    assert.match(await ping(server.url, tls.anonymous), /CERTIFICATE_REQUIRED|ECONNRESET|closed/i);
    const { cert, key } = (foreign as TestTls).client;
    assert.match(await ping(server.url, { ...tls.anonymous, cert, key }), /UNKNOWN_CA|DECRYPT|ECONNRESET|closed/i);
  });

  it('has the same certificates in its files as in its client options', async () => {
    const { client, caFile, certFile, keyFile } = strict as TestTls;
    assert.deepEqual(
      [client.ca, client.cert, client.key],
      await Promise.all([caFile, certFile, keyFile].map((file) => readFile(file, 'utf8'))),
    );
    const [ca, cert] = [new X509Certificate(client.ca as string), new X509Certificate(client.cert as string)];
    assert.ok(ca.ca && !cert.ca && cert.checkIssued(ca));
  });

  it('a password and users with their own rules work over TLS as without', async () => {
    const users = [{ name: 'reader', rules: 'on >"reader word" ~allowed:* &* +@read +@connection +info' }];
    for (const tls of [undefined, free as TestTls]) {
      const server = await start({ password: 'p@ss:word', users, ...(tls === undefined ? {} : { tls }) });
      assert.match(server.url, /^rediss?:\/\/:p%40ss%3Aword@127\.0\.0\.1:\d+$/);
      assert.equal(await ping(server.url, tls?.anonymous), 'PONG');
      assert.match(await ping(server.url.replace(/:p%40.*@/, ''), tls?.anonymous), /NOAUTH|closed/);
      const reader = server.client({ username: 'reader', password: 'reader word' });
      assert.equal(await reader.get('allowed:key'), null);
      await assert.rejects(reader.get('key'), /^ReplyError: NOPERM/);
      await assert.rejects(reader.set('allowed:key', ''), /^ReplyError: NOPERM/);
    }
  });
});
