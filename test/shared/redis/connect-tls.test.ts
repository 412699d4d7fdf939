/** Connections with TLS and with user names and passwords, and their errors. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { isFleetError } from '../../../shared/errors.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { connect, hangUp, ready } from '../../../shared/redis/connect.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../../shared/store.js';
import { startTestRedis } from '../../support/redis/test-redis.js';
import { TestTls } from '../../support/redis/test-tls.js';

const PASSWORD = 'p@ss:w/o%rd #1';
const [tls, other] = await Promise.all([TestTls.create({ clientCertificates: true }), TestTls.create()]);
const redis = await startTestRedis({ tls, password: PASSWORD });
after(async () => {
  await redis.stop();
  await Promise.all([tls.remove(), other.remove()]);
});

/** Returns the error message of a connection attempt; null if it succeeds. */
async function refusal(input: SettingsInput): Promise<{ readonly message: string; readonly logged: readonly string[] } | null> {
  const settings = resolveSettings({ redisUrl: redis.url, reconnectDelayMs: 20, ...input }) as ConnectedSettings;
  const logged: string[] = [];
  const logger = createLoggerFactory({ settings, destination: { write: (line) => void logged.push(line) } })('redis');
  const connection = connect({ settings, policy: 'wait', logger, name: 'test' });
  try {
    await ready(connection, 1_000);
    assert.equal(await connection.set('key', 'value'), 'OK');
    return null;
  } catch (error) {
    assert.ok(isFleetError(error, 'REDIS_UNAVAILABLE'), String(error));
    return { message: error.message, logged };
  } finally {
    hangUp(connection);
  }
}

const FILES = { tlsCaFile: tls.caFile, tlsCertFile: tls.certFile, tlsKeyFile: tls.keyFile };

test('connects with a CA, a client certificate and a password with special characters', async () => {
  assert.equal(await refusal(FILES), null);
});

test('a CA that did not sign the certificate of Redis is reported once, with the setting to change', async () => {
  const refused = await refusal({ ...FILES, tlsCaFile: other.caFile });
  assert.match(refused?.message ?? '', /(unable to verify|self-signed|signature).*set REDIS_TLS_CA_FILE/);
  const warnings = refused?.logged.filter((line) => line.includes('Cannot use Redis with these settings')) ?? [];
  assert.equal(warnings.length, 1, refused?.logged.join(''));
});

test('a connection without the required client certificate is refused', async () => {
  // The connection may close before the TLS alert with the reason arrives.
  assert.match(
    (await refusal({ tlsCaFile: tls.caFile }))?.message ?? '',
    /set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE|ECONNRESET|EPIPE|Connection is closed|ended by the other party/,
  );
});

test('a wrong password is reported as the reason, and is not shown', async () => {
  const refused = await refusal({ ...FILES, redisUrl: redis.url.replace(encodeURIComponent(PASSWORD), 'hunter2') });
  assert.match(refused?.message ?? '', /WRONGPASS.*Correct the user name and password in REDIS_URL/);
  assert.doesNotMatch(`${refused?.message}${refused?.logged.join('')}`, /hunter2/);
});
