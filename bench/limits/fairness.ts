import { setTimeout as delay } from 'node:timers/promises';
import { type TaskDefinition, defineTask } from 'taskfleet';
import { createProducer } from 'taskfleet/producer';
import { createWorker, defineHandler } from 'taskfleet/worker';
import { z } from 'zod';
import { quantile } from '../harness/statistics.js';
import { defineSuite } from '../harness/suite.js';

const TASK_MS = 10;
const CONCURRENCY = 4;
const BATCH = 500;
const input = z.object({ tenant: z.string(), sentAt: z.number() });
const definitions = {
  plain: defineTask({ name: 'bench.plain', queue: 'bench', input }),
  fair: defineTask({ name: 'bench.fair', queue: 'bench', input, fair: { by: ({ input: { tenant } }) => tenant } }),
};

export const fairness = defineSuite({
  name: 'fairness',
  about: 'The wait of a task each second beside the backlog of another tenant, without `fair` and with it',
  sizes: { rounds: { full: 1, quick: 1 }, 'fair-tasks': { full: 4_000, quick: 1_500 } },
  async run({ redis, client, sizes, step }) {
    const measured: Fairness[] = [];
    for (const side of ['plain', 'fair'] as const) {
      step(side);
      await client.flushall();
      measured.push(await measureFairness(redis.url, side, sizes['fair-tasks']));
    }
    const sides = (of: (one: Fairness) => number): Record<string, number[]> => ({
      'without fair': measured.slice(0, 1).map(of),
      fair: measured.slice(1).map(of),
    });
    return {
      rows: [
        { name: 'wait, p50', unit: 'ms', sides: sides(({ waits }) => quantile(waits, 0.5)) },
        { name: 'wait, p99', unit: 'ms', sides: sides(({ waits }) => quantile(waits, 0.99)) },
        {
          name: 'time for the backlog',
          unit: 'ms',
          sides: sides(({ tookMs }) => tookMs),
          ratios: [{ of: 'fair', to: 'without fair', better: 'lower' }],
        },
      ],
      notes: [`${measured.map(({ waits }) => waits.length).join(' and ')} tasks waited`],
    };
  },
});

/** The waits of the small tenant's tasks, in ms, and how long the large tenant's backlog took. */
interface Fairness {
  readonly waits: readonly number[];
  readonly tookMs: number;
}

/** One tenant enqueues many short tasks at once, another one each second until the first tenant's are done. */
async function measureFairness(redisUrl: string, side: keyof typeof definitions, tasks: number): Promise<Fairness> {
  const definition: TaskDefinition<z.infer<typeof input>> = definitions[side];
  const settings = { redisUrl, keyPrefix: 'fair', logLevel: 'warn' } as const;
  const producer = createProducer(settings);
  const waits: number[] = [];
  const done = new AbortController();
  let left = tasks;
  const handler = defineHandler(definition, async ({ input: { tenant, sentAt } }) => {
    if (tenant === 'small') waits.push(Date.now() - sentAt);
    await delay(TASK_MS);
    if (tenant === 'large' && (left -= 1) === 0) done.abort();
    return null;
  });
  const worker = await createWorker({ ...settings, concurrency: CONCURRENCY, handlers: [handler] });
  for (let from = 0; from < tasks; from += BATCH) {
    const some = Math.min(BATCH, tasks - from);
    await producer.enqueueMany(
      definition,
      Array.from({ length: some }, () => ({ input: { tenant: 'large', sentAt: Date.now() } })),
    );
  }
  const startedAt = performance.now();
  await worker.start();
  let sent = 0;
  for (; !done.signal.aborted; sent += 1) {
    await producer.enqueue(definition, { tenant: 'small', sentAt: Date.now() });
    await delay(1_000, undefined, { signal: done.signal }).catch(() => undefined);
  }
  const tookMs = performance.now() - startedAt;
  while (waits.length < sent) await delay(TASK_MS);
  await worker.stop();
  await producer.close();
  return { waits, tookMs };
}
