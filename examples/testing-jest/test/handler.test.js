import { afterEach, expect, jest, test } from '@jest/globals';
import { StopRequested, TimedOut } from 'taskfleet';
import { runHandler } from 'taskfleet/testing';
import { reportHandler } from '../src/handlers.js';

const template = 'package.json';
afterEach(() => void jest.useRealTimers());

test('writes every page', async () => {
  const run = await runHandler(reportHandler, { template });
  expect(run).toMatchObject({ outcome: 'completed', result: { pages: 2 } });
  expect(run.chunks).toHaveLength(2);
});

test('stops between two pages', async () => {
  const run = await runHandler(reportHandler, { template, pages: 1_000 }, { stopAfter: 'first-chunk' });
  expect(run).toMatchObject({ outcome: 'cancelled', heededSignal: true });
  expect(run.abort.cause).toBeInstanceOf(StopRequested);
});

test('times out, by fake timers', async () => {
  jest.useFakeTimers();
  const running = runHandler(reportHandler, { template, pages: 1_000_000 }, { timeoutAfter: 3_600_000 });
  await jest.advanceTimersByTimeAsync(3_600_000);
  const run = await running;
  expect(run.outcome).toBe('timed_out');
  expect(run.error).toBeInstanceOf(TimedOut);
});

test('fails for good without its template', async () => {
  const run = await runHandler(reportHandler, { template: 'missing.txt' });
  expect(run).toMatchObject({ outcome: 'failed', willRetry: false, error: { code: 'ENOENT' } });
});
