import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { entryOf, newToken } from '../../../dashboard/auth/tokens.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type Reply, TestDashboard } from '../test-dashboard.js';
import { AUDIENCE, ISSUER, type Issuer, startIssuer } from './jwt-issuer.js';

const OTHER_ISSUER = 'https://other.example';
const fleet = await TestFleet.start();
const ada = newToken();
let issuer: Issuer;

before(async () => {
  issuer = await startIssuer();
});
after(async () => {
  await issuer.stop();
  await fleet.stop();
});

/** Two dashboards of one fleet with different JWT issuers and the same token of ada. */
async function twoDashboards(settings: { readonly apiRateLimit?: number } = {}): Promise<readonly [TestDashboard, TestDashboard]> {
  const keyPrefix = fleet.newPrefix();
  const apiTokens = [entryOf(ada, { name: 'ada', role: 'operator', items: null })];
  const start = (jwtIssuer: string): Promise<TestDashboard> =>
    TestDashboard.start(fleet.producer({ keyPrefix }), {
      apiTokens,
      jwtIssuer,
      jwtAudience: AUDIENCE,
      jwtJwksUrl: issuer.url,
      ...settings,
    });
  return [await start(ISSUER), await start(OTHER_ISSUER)];
}

test('callers of one name but different issuers have separate idempotency keys', async (t) => {
  const [one, other] = await twoDashboards();
  t.after(() => Promise.all([one.stop(), other.stop()]));
  const add = (dashboard: TestDashboard, token: string, run_ms: number): Promise<Reply> =>
    dashboard.send('POST', '/api/v1/tasks', {
      token,
      headers: { 'Idempotency-Key': 'order-7' },
      body: { name: 'fleet.canary', input: { run_ms } },
    });
  const [jwt, otherJwt] = [await issuer.sign(), await issuer.sign({ iss: OTHER_ISSUER })];
  // If both were one caller, the second body would be a conflict.
  const answers = [await add(one, ada, 1), await add(one, jwt, 2), await add(other, otherJwt, 3)];
  assert.deepEqual(
    answers.map(({ status }) => status),
    [202, 202, 202],
  );
  const ids = answers.map(({ body }) => (body as { id: string }).id);
  assert.equal(new Set(ids).size, 3);
  const { cookie, csrf } = await other.signIn(ada);
  const bySession = await other.send('POST', '/api/v1/tasks', {
    headers: { Cookie: cookie, 'X-CSRF-Token': csrf, 'Idempotency-Key': 'order-7' },
    body: { name: 'fleet.canary', input: { run_ms: 1 } },
  });
  assert.equal((bySession.body as { id: string }).id, ids[0], 'the session of a token is the caller of the token');
});

test('callers of one name but different issuers have separate limits', async (t) => {
  const [one, other] = await twoDashboards({ apiRateLimit: 2 });
  t.after(() => Promise.all([one.stop(), other.stop()]));
  const ask = async (dashboard: TestDashboard, token: string): Promise<number[]> => {
    const statuses: number[] = [];
    for (let n = 0; n < 3; n += 1) statuses.push((await dashboard.send('GET', '/api/v1/me', { token })).status);
    return statuses;
  };
  const limited = [200, 200, 429];
  assert.deepEqual(await ask(one, ada), limited);
  assert.deepEqual(await ask(one, await issuer.sign()), limited);
  assert.deepEqual(await ask(other, await issuer.sign({ iss: OTHER_ISSUER })), limited);
  assert.equal((await other.send('GET', '/api/v1/me', { token: ada })).status, 429, 'of one caller, at any dashboard');
});

test('the audit tells callers of one name by their issuer', async (t) => {
  const [one, other] = await twoDashboards();
  t.after(() => Promise.all([one.stop(), other.stop()]));
  const stop = (dashboard: TestDashboard, token: string): Promise<Reply> =>
    dashboard.send('POST', '/api/v1/tasks/nobody/stop', { token, body: {} });
  await stop(one, ada);
  await stop(one, await issuer.sign());
  await stop(other, await issuer.sign({ iss: OTHER_ISSUER }));
  const { body } = await one.send('GET', '/api/v1/audit', { token: await issuer.sign({ role: 'admin', sub: 'eve' }) });
  const told = (body as { records: { name: string; issuer: string }[] }).records.map(({ name, issuer: by }) => [name, by]);
  assert.deepEqual(told.toReversed(), [
    ['ada', 'tokens'],
    ['ada', `jwt:${ISSUER}`],
    ['ada', `jwt:${OTHER_ISSUER}`],
  ]);
});
