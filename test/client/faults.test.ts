import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { afterEach, test } from 'node:test';
import { type StreamState, TaskfleetClient, UnauthenticatedError, UnreachableError } from '../../client/index.js';
import { type Served, serve } from '../dashboard/serve-dashboard.js';

const END = 'event: state\ndata: {"at":"2026-01-01T00:00:00.000Z","state":"completed","task":null}\n\n';
const CHUNK = 'retry: 1\n\nid: 1-0\nevent: chunk\ndata: {"at":"2026-01-01T00:00:00.000Z","chunk":1}\n\n';
const never = (): Promise<string> => new Promise(() => undefined);

let served: Served | null = null;

afterEach(() => served?.close());

async function urlOf(listener: RequestListener): Promise<string> {
  served = await serve(listener);
  return `http://127.0.0.1:${served.port}`;
}

/** A server whose first stream breaks off, and which then accepts the last token only. */
function breaking(valid: () => string): Promise<string> {
  let streams = 0;
  return urlOf(({ headers }, res) => {
    if (streams > 0 && headers.authorization !== `Bearer ${valid()}`) return void res.writeHead(401).end();
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.end((streams += 1) === 1 ? CHUNK : END);
  });
}

async function typesOf(events: AsyncIterable<{ readonly type: string }>): Promise<string[]> {
  const types: string[] = [];
  for await (const { type } of events) types.push(type);
  return types;
}

test('a function that never gives a token ends with the signal or the timeout', async () => {
  const client = new TaskfleetClient({ baseUrl: await urlOf((_req, res) => void res.end('{}')), token: never, timeoutMs: 50 });
  await assert.rejects(client.list(), UnreachableError);
  const leave = new AbortController();
  const reason = new Error('left');
  const calls = [client.list({}, { signal: leave.signal }), typesOf(client.events('one', { signal: leave.signal }))];
  leave.abort(reason);
  for (const { reason: got } of (await Promise.allSettled(calls)) as PromiseRejectedResult[]) assert.equal(got, reason);
  await assert.rejects(client.list({}, { signal: leave.signal }), (error) => error === reason);
});

test('a stream goes on when its token could not be renewed once', async () => {
  let calls = 0;
  const token = async (): Promise<string> => {
    calls += 1;
    if (calls === 2) throw new TypeError('fetch failed');
    return Promise.resolve(`token-${calls}`);
  };
  const lost: StreamState[] = [];
  const client = new TaskfleetClient({ baseUrl: await breaking(() => 'token-3'), token });
  const events = client.events('one', { onConnection: (state) => void (state.state === 'lost' && lost.push(state)) });
  assert.deepEqual(await typesOf(events), ['chunk', 'state']);
  assert.match(String(lost.map((state) => state.state === 'lost' && state.error?.message)), /fetch failed/);
});

test('a stream ends with the error of the API that the function for the token throws', async () => {
  let calls = 0;
  const signedOut = new UnauthenticatedError('UNAUTHENTICATED', 'Sign in again.');
  const token = async (): Promise<string> => {
    if ((calls += 1) > 1) throw signedOut;
    return Promise.resolve('token-1');
  };
  const client = new TaskfleetClient({ baseUrl: await breaking(() => 'token-2'), token });
  await assert.rejects(typesOf(client.events('one')), (error) => error === signedOut);
});

test('a Retry-After beyond the longest timer is a long wait', async () => {
  const leave = new AbortController();
  const states: StreamState[] = [];
  const client = new TaskfleetClient({
    baseUrl: await urlOf((_req, res) => void res.writeHead(503, { 'Retry-After': String(100 * 86_400) }).end()),
  });
  const warned: Error[] = [];
  const onWarning = (warning: Error): number => warned.push(warning);
  process.on('warning', onWarning);
  const onConnection = (state: StreamState): void => {
    states.push(state);
    if (state.state === 'lost') setTimeout(() => leave.abort(), 50);
  };
  await assert.rejects(typesOf(client.events('one', { signal: leave.signal, onConnection })), { name: 'AbortError' });
  process.off('warning', onWarning);
  assert.deepEqual([states.map(({ state }) => state), warned], [['connecting', 'lost'], []]);
});
