import { runHandler } from 'taskfleet/testing';
import { afterEach, expect, test, vi } from 'vitest';
import { reportHandler } from '../src/handlers.js';

afterEach(() => void vi.useRealTimers());

test('writes every page', async () => {
  const run = await runHandler(
    reportHandler(async () => {}),
    { user: 'ada' },
  );
  expect(run).toMatchObject({ outcome: 'completed', result: { pages: 2 }, chunks: ['page 1', 'page 2'] });
});

test('is stopped after an hour of fake time', async () => {
  vi.useFakeTimers();
  const running = runHandler(
    reportHandler(async () => {}),
    { user: 'ada', pages: 1_000_000 },
    { stopAfter: 3_600_000 },
  );
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(await running).toMatchObject({ outcome: 'cancelled', heededSignal: true });
});

test('is given up if the printer neither answers nor knows a signal', async () => {
  vi.useFakeTimers();
  const printing = Promise.withResolvers<void>();
  const handler = reportHandler(() => {
    printing.resolve();
    return new Promise(() => {});
  });
  const running = runHandler(handler, { user: 'ada' }, { stopAfter: printing.promise, graceMs: 5_000 });
  await printing.promise;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await running).toMatchObject({ outcome: 'cancelled', heededSignal: false, abort: { abandoned: true, endedAfterMs: 5_000 } });
});
