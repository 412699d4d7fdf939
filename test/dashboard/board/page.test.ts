import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { TestBoard } from './test-board.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());
const board = await TestBoard.open(fleet);
after(() => board.close());

interface Queues {
  readonly queues: readonly {
    readonly name: string;
    readonly readOnlyMode: boolean;
    readonly counts: Readonly<Record<string, number>>;
    readonly jobs: readonly ShownJob[];
  }[];
}
interface ShownJob {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
  readonly externalUrl: { readonly href: string; readonly displayText: string };
}

const asText = { Accept: 'text/html' };

test('the page loads from its own origin only, as its policy allows', async () => {
  const { dashboard } = board;
  const token = dashboard.tokens.viewer;
  const page = await dashboard.send('GET', '/board', { token, headers: asText });
  assert.equal(page.status, 200);
  assert.doesNotMatch(page.text, /https?:\/\//);
  assert.match(page.text, /<base href="\/board\/" \/>/);
  assert.match(page.text, /<title>taskfleet<\/title>/);
  assert.doesNotMatch(page.text, /<%/);
  assert.deepEqual([page.headers['x-powered-by'], page.headers.etag, page.headers['cache-control']], [undefined, undefined, 'no-store']);
  const policy = String(page.headers['content-security-policy']);
  assert.match(policy, /default-src 'self'/);
  assert.match(policy, /base-uri 'self'/);
  assert.match(policy, /style-src 'self' 'unsafe-inline'/);
  assert.doesNotMatch(policy, /unsafe-eval|script-src/);
  // The policy blocks inline scripts.
  const scripts = [...page.text.matchAll(/<script\b([^>]*)>/g)].map(([, attributes]) => attributes ?? '');
  assert.ok(scripts.length > 0 && scripts.every((attributes) => attributes.includes(' src=') || attributes.includes('application/json')));
  const assets = [...page.text.matchAll(/(?:href|src)="(static\/[^"]+)"/g)].map(([, path]) => path);
  assert.ok(assets.length >= 5);
  for (const path of [...assets, 'static/locales/en-US/messages.json']) {
    const { status, headers } = await dashboard.send('GET', `/board/${path}`, { token });
    assert.deepEqual([path, status], [path, 200]);
    assert.match(String(headers['content-type']), /javascript|css|json|svg|png/);
    assert.equal(String(headers['cache-control']).includes('immutable'), /\.(?:js|css)$/.test(path ?? ''));
  }
});

test('outside the board the policy allows no inline styles', async () => {
  const { headers } = await board.dashboard.send('GET', '/livez');
  assert.doesNotMatch(String(headers['content-security-policy']), /unsafe-inline/);
});

test('every path of the board serves the same page', async () => {
  const { dashboard } = board;
  for (const path of ['/board/', '/board/queue/note', '/board/queue/note/some-id', '/board/job-schedulers']) {
    const { status, text } = await dashboard.send('GET', path, { token: dashboard.tokens.viewer, headers: asText });
    assert.deepEqual([path, status, text.includes('<base href="/board/" />')], [path, 200, true]);
  }
});

test('an unknown path yields a problem that the page can show', async () => {
  for (const path of ['/nothing', '/queues/none/some-id', '/queues/%zz/some-id']) {
    const { status, body, headers } = await board.ask('viewer', 'GET', path);
    assert.ok([400, 404].includes(status), path);
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.ok((body as { error: { key: string } }).error.key.startsWith('ERRORS.'));
  }
});

test('the board finds all queues, also a new one, and opens no connection for them', async () => {
  const clients = async () =>
    String(await fleet.client.client('LIST'))
      .trim()
      .split('\n').length;
  const id = await board.add();
  const before = await clients();
  const names = async () => ((await board.ask('viewer', 'GET', '/queues')).body as Queues).queues.map(({ name }) => name);
  assert.deepEqual(await names(), ['note']);
  await fleet.client.sadd(board.keys.queues, 'later');
  assert.deepEqual(await names(), ['later', 'note']);
  for (const path of [
    '/redis/stats',
    '/job-schedulers',
    '/queues/note/workers',
    '/queues/note/metrics',
    `/queues/note/${id}/flow`,
    `/queues/note/${id}/logs`,
  ]) {
    const { status } = await board.ask('viewer', 'GET', path);
    assert.deepEqual([path, status], [path, 200]);
  }
  assert.equal(await clients(), before);
});

test('only operators see the input of a job, and each job links to its task page', async () => {
  const id = await board.add({ id: 'with=odd+id' });
  const jobs = async (who: 'viewer' | 'operator'): Promise<ShownJob> => {
    const { body } = await board.ask(who, 'GET', '/queues?activeQueue=note&status=waiting');
    return (body as Queues).queues.flatMap((queue) => queue.jobs).find((job) => job.id === id) as ShownJob;
  };
  assert.deepEqual((await jobs('operator')).data, { secret: 'word' });
  assert.deepEqual((await jobs('operator')).externalUrl, { href: '/tasks/with%3Dodd%2Bid', displayText: 'Stop on the task page' });
  assert.equal((await jobs('viewer')).externalUrl.displayText, 'Open the task page');
  assert.equal((await jobs('viewer')).data, 'Shown to operators only');
  const single = await board.ask('submitter', 'GET', `/queues/note/${encodeURIComponent(id)}`);
  assert.equal(single.status, 200);
  assert.doesNotMatch(single.text, /word/);
  const { queues } = (await board.ask('viewer', 'GET', '/queues')).body as Queues;
  assert.ok(queues.length > 0 && queues.every(({ readOnlyMode }) => readOnlyMode));
});

test("a viewer does not see the input of a schedule's tasks", async () => {
  await board.producer.schedules.upsert('nightly', board.task.definition, { secret: 'word' }, { every: 3_600_000 });
  assert.match((await board.ask('operator', 'GET', '/job-schedulers')).text, /word/);
  const { text } = await board.ask('viewer', 'GET', '/job-schedulers');
  assert.match(text, /nightly/);
  assert.doesNotMatch(text, /word/);
});

test('a cancelled task is marked among the latest, and is no failure', async (t) => {
  const stopBoard = await TestBoard.open(fleet);
  t.after(() => stopBoard.close());
  const ids = Array.from({ length: 600 }, (_, n) => `stopped-${n}`);
  await stopBoard.producer.enqueueMany(
    stopBoard.task.definition,
    [...ids, 'broken'].map((id) => ({ input: {}, id, delay: 3_600_000 })),
  );
  const { keys } = stopBoard;
  await fleet.client
    .multi()
    .zrem(`${keys.jobs('note')}delayed`, 'broken')
    .zadd(`${keys.jobs('note')}failed`, 1, 'broken')
    .exec();
  await stopBoard.producer.stop(ids);
  const read = async (status: string) => {
    const { body } = await stopBoard.ask('viewer', 'GET', `/queues?activeQueue=note&status=${status}`);
    const [shown] = (body as Queues).queues;
    return [shown?.counts['failed'], [...new Set(shown?.jobs.map(({ name }) => name))]];
  };
  assert.deepEqual(await read('failed'), [1, ['note.take']]);
  assert.deepEqual(await read('latest'), [1, ['■ cancelled · note.take']]);
  await fleet.client.set(keys.kept('note', 'cancelled', 'note.other'), 'x');
  await fleet.client.hset(keys.keptLimits('note'), 'cancelled:note.other', ':1');
  assert.deepEqual(await read('failed'), [1, ['note.take']], 'despite an index of another type');
});

test('a queue with unreadable jobs and schedules leaves the other pages of the board readable', async (t) => {
  const spoiltBoard = await TestBoard.open(fleet);
  t.after(() => spoiltBoard.close());
  const { producer, task, keys, queue } = spoiltBoard;
  const id = await spoiltBoard.add();
  await producer.schedules.upsert('nightly', task.definition, {}, { every: 3_600_000 });
  await fleet.client.sadd(keys.queues, 'other');
  const [next = ''] = await queue.getRanges(['delayed'], 0, -1);
  for (const job of [id, next]) await fleet.client.hset(keys.jobs('note') + job, 'data', '{');
  const read = (path: string) => spoiltBoard.ask('operator', 'GET', path);
  const { queues } = (await read('/queues?activeQueue=note&status=latest')).body as Queues;
  assert.deepEqual(
    queues.map(({ name, jobs }) => [name, jobs.map((job) => job.name)]),
    [
      ['note', ['✕ cannot be read', '✕ cannot be read']],
      ['other', []],
    ],
  );
  for (const path of [
    '/queues?activeQueue=other',
    '/job-schedulers',
    `/queues/note/${id}`,
    `/queues/note/${id}/flow`,
    '/queues/note/metrics',
  ])
    assert.equal((await read(path)).status, 200, path);
});

test('a caller with item patterns gets 403 and a sentence for every request', async () => {
  for (const [method, path] of [
    ['GET', '/queues'],
    ['GET', '/queues/note/some-id'],
    ['PUT', '/queues/note/pause'],
  ] as const) {
    const { status, body } = await board.ask('alice-operator', method, path);
    assert.equal(status, 403);
    assert.match((body as { message: string }).message, /alice-operator may see certain items only/);
  }
  const { status } = await board.dashboard.send('GET', '/board', { token: board.dashboard.tokens['alice-viewer'], headers: asText });
  assert.equal(status, 403);
});

test('a caller without a token gets no page, no asset and no data', async () => {
  assert.equal((await board.dashboard.send('GET', '/board/api/queues')).status, 401);
  assert.equal((await board.dashboard.send('GET', '/board/static/images/logo.svg')).status, 401);
  const { status, headers } = await board.dashboard.send('GET', '/board', { headers: asText });
  assert.deepEqual([status, headers.location], [302, '/sign-in?next=%2Fboard']);
});

test("a browser's write needs the CSRF token of the cookie", async () => {
  const { dashboard } = board;
  const { cookie, csrf } = await dashboard.signIn(dashboard.tokens.operator);
  const without = await dashboard.send('PUT', '/board/api/queues/note/pause', { headers: { Cookie: cookie } });
  assert.equal(without.status, 403);
  assert.match((without.body as { message: string }).message, /CSRF/);
  assert.equal(await board.queue.isPaused(), false);
  const withIt = await dashboard.send('PUT', '/board/api/queues/note/pause', { headers: { Cookie: cookie, 'X-XSRF-TOKEN': csrf } });
  assert.equal(withIt.status, 200);
  assert.equal(await board.queue.isPaused(), true);
  await board.queue.resume();
});
