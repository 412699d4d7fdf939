import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeProducer, runHandler } from 'taskfleet/testing';
import { answer, answerHandler, reportHandler } from '../src/tasks.js';

test('an answer is emitted word by word', async () => {
  const run = await runHandler(answerHandler, { message: 'Hello there' });
  assert.deepEqual(run.chunks, ['You ', 'said: ', 'Hello ', 'there']);
  assert.deepEqual(run.result, { text: 'You said: Hello there' });
});

test('a stop ends an answer at once, and its words so far stay', async () => {
  const run = await runHandler(answerHandler, { message: 'Hello there' }, { stopAfter: 'first-chunk' });
  assert.deepEqual([run.outcome, run.heededSignal, run.chunks], ['cancelled', true, ['You ']]);
});

test('the report counts the answers', async () => {
  const fleet = fakeProducer();
  const [first, second] = [await fleet.enqueue(answer, { message: 'One' }), await fleet.enqueue(answer, { message: 'Two' })];
  fleet.finish(first, { text: 'One' });
  await fleet.stop(second);
  const run = await runHandler(reportHandler(fleet), {});
  assert.deepEqual(run.result, { completed: 1, cancelled: 1, failed: 0 });
  await fleet.close();
});
