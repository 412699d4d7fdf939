import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TaskFeed } from '../../../../dashboard/api/stream/task-feed.js';
import type { EventOptions, Producer, TaskEvent } from '../../../../producer/index.js';
import { FleetError } from '../../../../shared/errors.js';
import { createKeys } from '../../../../shared/keys.js';
import type { Logger } from '../../../../shared/log/logger.js';
import type { Store } from '../../../../shared/store.js';

const AT = new Date(5);

test('a feed survives an outage of Redis and resumes after its last event', async () => {
  const asked: (string | undefined)[] = [];
  async function* events(_id: string, { after }: EventOptions): AsyncGenerator<TaskEvent, void, undefined> {
    asked.push(after);
    await Promise.resolve();
    yield { type: 'state', id: null, at: AT, state: 'running', attempt: 1 };
    yield { type: 'chunk', id: `${asked.length + 4}-1`, at: AT, chunk: asked.length };
    if (asked.length === 1) throw new FleetError('REDIS_UNAVAILABLE', 'away');
    yield { type: 'state', id: null, at: AT, state: 'completed', attempt: 1 };
  }
  const producer = { events, get: () => Promise.resolve(null) } as unknown as Producer;
  const store = { redis: { xrevrange: () => Promise.resolve([['4-1', []]]) }, keys: createKeys('p') } as unknown as Store;
  const feed = new TaskFeed('a', producer, store, {} as Logger);
  await feed.start();
  const { signal } = new AbortController();
  while (!feed.log.ended) await feed.log.more(feed.log.next, signal);
  assert.deepEqual(asked, ['4-1', '5-1']);
  const chunks = feed.log.from(0, 10_000)?.filter((text) => text.startsWith('event: chunk'));
  const textOf = (id: string, chunk: number): string => `event: chunk\nid: ${id}\ndata: {"at":"${AT.toISOString()}","chunk":${chunk}}\n\n`;
  assert.deepEqual(chunks, [textOf('5-1', 1), textOf('6-1', 2)]);
  assert.match(feed.log.from(0, 10_000)?.at(-1) ?? '', /^event: state\nid: 6-1-end\n/);
});
