import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { JwtVerifier, type JwtSettings, readJwt } from '../../../dashboard/auth/authority.js';
import { isFleetError } from '../../../shared/errors.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { AUDIENCE, ISSUER, startIssuer } from './jwt-issuer.js';

const issuer = await startIssuer();
after(() => issuer.stop());

const SECRET = 'a secret of more than thirty-two bytes';
const settings = (given: Partial<JwtSettings>): JwtSettings => resolveSettings({ jwtIssuer: ISSUER, jwtAudience: AUDIENCE, ...given });
const byUrl = new JwtVerifier(settings({ jwtJwksUrl: issuer.url }));
const bySecret = new JwtVerifier(settings({ jwtSecret: SECRET }));
const problemsOf = (given: Parameters<typeof resolveSettings>[0]): string[] => {
  const problems: string[] = [];
  readJwt(resolveSettings(given), problems);
  return problems;
};

test('a valid JWT yields name, role, items and expiry', async () => {
  const exp = Math.floor(Date.now() / 1_000) + 60;
  assert.deepEqual(await byUrl.verify(await issuer.sign({ exp, items: ['chat:*', 'a'] })), {
    name: 'ada',
    issuer: `jwt:${ISSUER}`,
    role: 'operator',
    items: ['chat:*', 'a'],
    expiresAt: exp * 1_000,
  });
  assert.equal((await byUrl.verify(await issuer.sign({ items: 'chat:*' })))?.items?.[0], 'chat:*');
  assert.equal((await byUrl.verify(await issuer.sign()))?.items, null);
  assert.deepEqual((await byUrl.verify(await issuer.sign({ items: [] })))?.items, []);
  assert.equal((await bySecret.verify(await issuer.sign({}, { alg: 'HS256' }, new TextEncoder().encode(SECRET))))?.name, 'ada');
});

test('the names of the claims are configurable', async () => {
  const verifier = new JwtVerifier(settings({ jwtJwksUrl: issuer.url, jwtRoleClaim: 'https://example/role', jwtItemsClaim: 'chats' }));
  const { role, items } =
    (await verifier.verify(await issuer.sign({ 'https://example/role': 'viewer', role: 'admin', chats: ['a'], items: ['b'] }))) ?? {};
  assert.deepEqual([role, items], ['viewer', ['a']]);
});

test('an unknown role and malformed items are refused', async () => {
  for (const claims of [
    { role: undefined },
    { role: 'root' },
    { role: ['admin'] },
    { role: 'Admin' },
    { items: [7] },
    { items: null },
    { items: { 0: '*' } },
    { items: ['a\nb'] },
  ]) {
    await assert.rejects(
      issuer.sign(claims).then((jwt) => byUrl.verify(jwt)),
      (error) => isFleetError(error, 'FORBIDDEN'),
      JSON.stringify(claims),
    );
  }
});

test('expiry tolerates a few seconds of clock skew', async () => {
  const now = Math.floor(Date.now() / 1_000);
  assert.notEqual(await byUrl.verify(await issuer.sign({ exp: now - 1 })), null);
  assert.equal(await byUrl.verify(await issuer.sign({ exp: now - 30 })), null);
});

test("the issuer's keys are fetched once", async () => {
  const before = issuer.asked();
  const verifier = new JwtVerifier(settings({ jwtJwksUrl: issuer.url }));
  const good = await issuer.sign();
  const unknown = await issuer.sign({}, { kid: 'another' });
  const found = await Promise.all(Array.from({ length: 20 }, () => verifier.verify(good)));
  assert.ok(found.every((claims) => claims?.name === 'ada'));
  for (let n = 0; n < 5; n += 1) assert.equal(await verifier.verify(unknown), null);
  assert.equal(issuer.asked() - before, 1);
});

test('without keys verification fails as unavailable, and failed fetches are cached', async () => {
  const gone = await startIssuer();
  const jwt = await gone.sign();
  await gone.stop();
  const verifier = new JwtVerifier(settings({ jwtJwksUrl: gone.url }));
  for (let n = 0; n < 3; n += 1) await assert.rejects(verifier.verify(jwt), (error) => isFleetError(error, 'KEYS_UNAVAILABLE'));
});

test('inconsistent settings are refused by name', () => {
  const whole = { jwtIssuer: ISSUER, jwtAudience: AUDIENCE };
  assert.deepEqual(problemsOf({}), []);
  assert.match(problemsOf({ jwtIssuer: ISSUER, jwtSecret: SECRET }).join(), /^API_JWT_AUDIENCE: expected an audience/);
  assert.match(problemsOf({ jwtAudience: AUDIENCE, jwtSecret: SECRET }).join(), /^API_JWT_ISSUER: expected an issuer/);
  assert.match(problemsOf(whole).join(), /expected exactly one of them, got neither/);
  assert.match(problemsOf({ ...whole, jwtSecret: SECRET, jwtJwksUrl: issuer.url }).join(), /expected exactly one of them, got both/);
  assert.match(
    problemsOf({ ...whole, jwtSecret: SECRET, jwtAlgorithms: ['RS256'] }).join(),
    /expected some of HS256, HS384, HS512 with API_JWT_SECRET, got "RS256"/,
  );
  for (const name of ['none', 'HS256', 'None', 'dir'])
    assert.match(
      problemsOf({ ...whole, jwtJwksUrl: issuer.url, jwtAlgorithms: ['ES256', name] }).join(),
      /^API_JWT_ALGORITHMS: expected some of RS256/,
    );
  assert.throws(
    () => resolveSettings({ jwtSecret: 'x'.repeat(31) }),
    /API_JWT_SECRET: expected a secret of at least 32 bytes, got something else \(not shown\)/,
  );
});
