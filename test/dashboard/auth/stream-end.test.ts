import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { EventClient } from '../api/stream/event-client.js';
import { TestDashboard } from '../test-dashboard.js';
import { AUDIENCE, ISSUER, type Issuer, startIssuer } from './jwt-issuer.js';

const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const keys = fleet.keys(keyPrefix);
let issuer: Issuer;
let producer: Producer;
let first: TestDashboard;
let second: TestDashboard;

before(async () => {
  issuer = await startIssuer();
  producer = fleet.producer({ keyPrefix });
  const jwt = { jwtIssuer: ISSUER, jwtAudience: AUDIENCE, jwtJwksUrl: issuer.url };
  [first, second] = await Promise.all([TestDashboard.start(producer, jwt), TestDashboard.start(fleet.producer({ keyPrefix }), jwt)]);
});
after(async () => {
  await Promise.all([first.stop(), second.stop()]);
  await issuer.stop();
  await fleet.stop();
});

let id = '';
beforeEach(async () => {
  ({ id } = await producer.enqueue(fleetCanary, { run_ms: 60_000 }));
});

/** Opens the streams of the list and of the task, and waits for the first event of each. */
async function follow({ port }: TestDashboard, headers: Record<string, string>): Promise<EventClient[]> {
  const clients = await Promise.all(['/events', `/tasks/${id}/events`].map((path) => EventClient.open(port, path, { headers })));
  for (const client of clients) {
    assert.equal(client.status, 200);
    await client.until((heard) => heard.length > 0);
  }
  return clients;
}
const signIn = async (dashboard: TestDashboard): Promise<{ cookie: string; csrf: string }> => dashboard.signIn(await issuer.sign());
const ended = (clients: readonly EventClient[]): Promise<unknown> => Promise.all(clients.map((client) => client.end()));

test('a sign-out ends the streams of its session on every replica, and no others', async () => {
  const [mine, others] = [await signIn(first), await signIn(first)];
  const streams = [...(await follow(first, { Cookie: mine.cookie })), ...(await follow(second, { Cookie: mine.cookie }))];
  const kept = await follow(first, { Cookie: others.cookie });
  await first.send('POST', '/sign-out', { headers: { Cookie: mine.cookie, 'X-CSRF-Token': mine.csrf } });
  await ended(streams);
  await producer.stop(id);
  for (const client of kept) await client.until((heard) => heard.length > 1);
  await first.send('POST', '/sign-out', { headers: { Cookie: others.cookie, 'X-CSRF-Token': others.csrf } });
  await ended(kept);
});

test('expiry, deletion and a new sign-in of the browser end the streams of a session', async () => {
  const expiring = await signIn(first);
  const streams = await follow(first, { Cookie: expiring.cookie });
  const [session = ''] = await fleet.client.keys(keys.session('*'));
  await fleet.client.pexpire(session, 1);
  await ended(streams);
  const earlier = await signIn(first);
  const replaced = await follow(second, { Cookie: earlier.cookie });
  await first.signIn(await issuer.sign(), { Cookie: earlier.cookie });
  await ended(replaced);
});

test('the streams of a JWT end at its expiry; those of a valid one continue', async () => {
  const now = Math.floor(Date.now() / 1_000);
  // The JWT has expired within the clock tolerance.
  const [short, long] = [await issuer.sign({ exp: now - 1 }), await issuer.sign({ exp: now + 300 })];
  const open = await follow(first, { Authorization: `Bearer ${long}` });
  const refused = await EventClient.open(first.port, '/events', { headers: { Authorization: `Bearer ${short}` } }).catch(() => null);
  await refused?.end();
  await producer.stop(id);
  for (const client of open) await client.until((heard) => heard.length > 1);
  for (const client of open) client.leave();
});
