import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { ApiConnection } from '../../../cli/client/http-connection.js';
import { ApiClient } from '../../../cli/client/http.js';
import type { TaskEvent } from '../../../producer/index.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { TestDashboard } from '../../dashboard/test-dashboard.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

async function collect(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

test('the events of a task that failed twice name both errors, while it runs and later, also over the API', async (t) => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const definition = defineTask({
    ...{ name: 'mail.send', input: z.object({}), retention: KEEP },
    retry: { attempts: 3, backoff: { type: 'fixed', delayMs: 20, jitter: 0 } },
  });
  const handler = defineHandler(definition, ({ attempt, emit }) => {
    if (attempt === 1) throw Object.assign(new TypeError('no such host'), { code: 'ENOTFOUND' });
    if (attempt === 2) throw new AggregateError([new Error('refused'), new Error('reset')], 'both servers failed', { cause: 'a storm' });
    emit('sent');
  });
  const dashboard = await TestDashboard.start(producer);
  t.after(() => dashboard.stop());
  const api = new ApiClient(new ApiConnection({ url: dashboard.url, token: dashboard.tokens.viewer }));
  const { id } = await producer.enqueue(definition, {});
  const [live, liveApi] = [collect(producer.events(id)), collect(api.events(id))];
  await fleet.worker(keyPrefix, [handler]);
  await producer.result(id);

  const events = await collect(producer.events(id));
  const told = events.map((event) => (event.type === 'state' ? [event.state, event.attempt, event.error?.message ?? null] : [event.type]));
  assert.deepEqual(told, [
    ['queued', null, null],
    ['running', 1, null],
    ['retrying', 1, 'no such host'],
    ['running', 2, null],
    ['retrying', 2, 'both servers failed'],
    ['running', 3, null],
    ['chunk'],
    ['completed', 3, null],
  ]);
  const [first, second] = events.flatMap((event) => (event.type === 'state' && event.error ? [event] : []));
  assert.deepEqual([first?.error?.name, first?.error?.code], ['TypeError', 'ENOTFOUND']);
  assert.deepEqual([second?.error?.errors.map(({ message }) => message), second?.error?.cause?.message], [['refused', 'reset'], 'a storm']);
  assert.match(first?.error?.stack ?? '', /no such host/);
  for (const one of [first, second]) assert.equal((one?.nextAttemptAt?.getTime() ?? 0) - (one?.at.getTime() ?? 0), 20);
  const times = events.map((event) => event.at.getTime());
  assert.ok(times.every((time) => time > Date.now() - 60_000 && time < Date.now() + 1_000));

  // A follower who was there sees the same, unless a state came and went between two looks.
  const shown = (all: readonly TaskEvent[]) =>
    all.flatMap((event) =>
      event.type === 'state' && (event.state === 'running' || event.error) ? [`${event.state} ${event.attempt}`] : [],
    );
  assert.deepEqual(shown(await live), ['running 1', 'retrying 1', 'running 2', 'retrying 2', 'running 3']);
  assert.deepEqual(shown(await liveApi), ['running 1', 'retrying 1', 'running 2', 'retrying 2', 'running 3']);
  // The API sends no stacks.
  const overApi = await collect(api.events(id));
  const withoutStacks = (all: readonly TaskEvent[]): unknown =>
    JSON.parse(JSON.stringify(all, (key, value: unknown) => (key === 'stack' ? null : value)));
  assert.deepEqual(JSON.parse(JSON.stringify(overApi)), withoutStacks(events));
});
