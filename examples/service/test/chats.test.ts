import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import express from 'express';
import { fakeProducer } from 'taskfleet/testing';
import { chatRoutes } from '../src/chats.js';

const fleet = fakeProducer();
const server = express().use(chatRoutes(fleet, new AbortController().signal)).listen(0, '127.0.0.1');
let url: string;

before(async () => {
  if (!server.listening) await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/chats/chat-1`;
});
beforeEach(() => fleet.reset());
after(async () => {
  server.close();
  server.closeAllConnections();
  await fleet.close();
});

function post(path: string, body: unknown = {}): Promise<Response> {
  return fetch(`${url}/${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
}

test('a message is enqueued for its chat', async () => {
  const response = await post('messages', { message: 'Hello' });
  assert.equal(response.status, 202);
  const [task] = fleet.enqueued;
  assert.deepEqual(await response.json(), { id: task?.id });
  assert.deepEqual([task?.name, task?.item, task?.input], ['chat.answer', 'chat-1', { message: 'Hello' }]);
});

test('an empty message is refused', async () => {
  const response = await post('messages', { message: ' ' });
  assert.equal(response.status, 400);
  assert.deepEqual(fleet.enqueued, []);
});

test('an answer is streamed to its end', async () => {
  const { id } = (await (await post('messages', { message: 'Hello' })).json()) as { id: string };
  const response = fetch(`${url}/answers/${id}`);
  fleet.emit(id, 'You said');
  fleet.finish(id, { text: 'You said' });
  const text = await (await response).text();
  assert.match(text, /event: chunk\ndata: .*"chunk":"You said"/);
  assert.match(text, /"state":"completed".*\n\n$/);
});

test('an answer of another chat is not found', async () => {
  const { id } = (await (await post('messages', { message: 'Hello' })).json()) as { id: string };
  assert.equal((await fetch(`${url.replace('chat-1', 'chat-2')}/answers/${id}`)).status, 404);
});

test('a stop cancels the answers of its chat', async () => {
  const { id } = (await (await post('messages', { message: 'Hello' })).json()) as { id: string };
  fleet.start(id);
  const receipts = (await (await post('stop')).json()) as { id: string; outcome: string }[];
  assert.deepEqual([receipts.length, receipts[0]?.id, receipts[0]?.outcome], [1, id, 'cancelled']);
});

test('without Redis, a message gets 503', async () => {
  fleet.available = false;
  assert.equal((await post('messages', { message: 'Hello' })).status, 503);
});
