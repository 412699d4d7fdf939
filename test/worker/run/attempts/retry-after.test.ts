import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { RetryAfter, chatCompletion } from '../../../../index.js';
import type { Producer, TaskView } from '../../../../producer/index.js';
import { endOf, ownWorker } from '../../../support/fleet/own-worker.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { PROMPT } from '../../../support/network/ask-upstream.js';
import { DONE, FINISH, delta, streaming, upstream } from '../../../support/network/upstream.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

describe('A handler that throws RetryAfter', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Resolves with the task once its attempt `number` was put off, and lets the next one start. */
  async function putOff(producer: Producer, prefix: string, queue: string, id: string, records: number): Promise<TaskView> {
    const view = (await until(
      () => producer.get(id),
      (found) => found?.state === 'retrying' && found.attempts?.length === records && found.nextAttemptAt !== null,
    )) as TaskView;
    await (await fleet.store({ keyPrefix: prefix }).queues.get(queue).getJob(id))?.promote();
    return view;
  }

  it('is retried at exactly that time, which the view tells; the last attempt fails', async () => {
    const task = new ScriptedTask('later.counted', { retry: { attempts: 3, backoff: { delayMs: 5 } } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call()).throws(new RetryAfter(60_000, 'full'));
    const first = await putOff(producer, prefix, 'later', id, 1);
    const [attempt] = first.attempts ?? assert.fail();
    assert.deepEqual([first.attempt, first.error, attempt?.error?.name], [1, 'full', 'RetryAfter']);
    assert.equal(Number(attempt?.retryAt) - Number(attempt?.endedAt), 60_000);
    assert.ok(Math.abs(Number(first.nextAttemptAt) - Number(attempt?.retryAt)) < 1_000);
    const at = new Date(Date.now() + 3_600_000);
    (await task.call(1)).throws(new RetryAfter(at));
    const second = await putOff(producer, prefix, 'later', id, 2);
    assert.ok(Math.abs(Number(second.nextAttemptAt) - at.getTime()) < 1_000);
    (await task.call(2)).throws(new RetryAfter(60_000, 'still full'));
    const end = await endOf(producer, id);
    assert.deepEqual([end.state, end.attempt, end.error, end.nextAttemptAt], ['failed', 3, 'still full', null]);
  });

  it('uses up no attempt if it says so, however often', async () => {
    const task = new ScriptedTask('later.free', { retry: { attempts: 1 } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    for (let index = 0; index < 3; index += 1) {
      (await task.call(index)).throws(new RetryAfter(60_000, `busy ${index}`, { countAttempt: false }));
      const view = await putOff(producer, prefix, 'later', id, index + 1);
      assert.deepEqual([view.state, view.attempt, view.maxAttempts, view.error], ['retrying', 0, 1, `busy ${index}`]);
    }
    const last = await task.call(3);
    assert.equal(last.context.attempt, 1);
    const { ats, atm } = await fleet.client.hgetall(`${prefix}:bull:later:${id}`);
    assert.deepEqual([ats, atm], ['2', undefined], 'put-offs do not count as fetches without a handler');
    last.returns(1);
    const end = await endOf(producer, id);
    assert.deepEqual(
      (end.attempts ?? []).map(({ number, outcome }) => [number, outcome]),
      [...Array.from({ length: 3 }, () => [1, 'failed']), [1, 'completed']],
    );
  });

  it('is chat.completion after 429 and 503 with Retry-After: seconds, a date, and at most its longest backoff', async (t) => {
    const { maxDelayMs } = chatCompletion.retry.backoff;
    const refusals: readonly [status: number, retryAfter: string, ms: number][] = [
      [429, '8', 8_000],
      [503, new Date(Date.now() + 600_000).toUTCString(), 600_000],
      [429, '9999999', maxDelayMs],
    ];
    let calls = 0;
    const answer: RequestListener = (request, response) => {
      // The worker also asks for the list of models.
      const [status, retryAfter] = (request.url?.endsWith('/chat/completions') && refusals[calls++]) || [];
      if (status === undefined) return streaming(delta('hello') + FINISH + DONE)(request, response);
      response.writeHead(status, { 'retry-after': retryAfter }).end('slow down');
    };
    const { prefix, producer } = await ownWorker(fleet, [], { openaiBaseUrls: [await upstream(t, answer)] });
    const { id } = await producer.enqueue(chatCompletion, PROMPT);
    for (const index of refusals.keys()) await putOff(producer, prefix, 'chat', id, index + 1);
    assert.equal((await producer.result<{ content: string }>(id)).content, 'hello');
    const attempts = (await producer.get(id))?.attempts ?? [];
    assert.deepEqual(
      attempts.map(({ number, outcome, error }) => [number, outcome, error?.name, error?.cause?.name]),
      [...[1, 2, 3].map((number) => [number, 'failed', 'RetryAfter', 'UpstreamFailure']), [4, 'completed', undefined, undefined]],
    );
    for (const [index, [, , ms]] of refusals.entries()) {
      const waitMs = Number(attempts[index]?.retryAt) - Number(attempts[index]?.endedAt);
      // An HTTP date has whole seconds, and time passes before the request.
      assert.ok(waitMs <= ms && waitMs > ms - 30_000, `${waitMs} ms`);
      if (index !== 1) assert.equal(waitMs, ms);
    }
  });
});
