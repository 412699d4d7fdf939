import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StopRequested } from 'taskfleet';
import { runHandler } from 'taskfleet/testing';
import { reportHandler } from '../src/handlers.js';

test('writes every page', async () => {
  const printed: string[] = [];
  const run = await runHandler(
    reportHandler(async (page) => void printed.push(page)),
    { user: 'ada' },
  );
  assert.equal(run.outcome, 'completed');
  assert.deepEqual(run.result, { pages: 2 });
  assert.deepEqual(run.chunks, ['page 1', 'page 2']);
  assert.deepEqual(printed, ['ada: page 1', 'ada: page 2']);
  assert.equal(run.logs.at(-1)?.message, 'Wrote a report');
});

test('stops between two pages', async () => {
  const run = await runHandler(
    reportHandler(async () => {}),
    { user: 'ada', pages: 1_000 },
    { stopAfter: 'first-chunk' },
  );
  assert.equal(run.outcome, 'cancelled');
  assert.ok(run.abort?.cause instanceof StopRequested);
  assert.ok(run.heededSignal);
  assert.deepEqual(run.chunks, ['page 1']);
});

test('is retried if the printer fails, and gives up in the third attempt', async () => {
  const handler = reportHandler(() => Promise.reject(new Error('Out of paper')));
  const first = await runHandler(handler, { user: 'ada' });
  assert.deepEqual([first.outcome, first.error?.message, first.willRetry], ['failed', 'Out of paper', true]);
  const last = await runHandler(handler, { user: 'ada' }, { attempt: 3 });
  assert.equal(last.willRetry, false);
});

test('runs again elsewhere if its worker is lost', async () => {
  const run = await runHandler(
    reportHandler(async () => {}),
    { user: 'ada' },
    { worker: 'lost' },
  );
  assert.deepEqual([run.outcome, run.state], ['worker_lost', 'queued']);
});
