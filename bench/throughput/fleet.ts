import { type TaskDefinition, defineTask } from 'taskfleet';
import { type ProducerConfig, createProducer } from 'taskfleet/producer';
import { createWorker, defineHandler } from 'taskfleet/worker';
import { z } from 'zod';
import { type Load, ProcessSpan, type Throughput, keepInFlight, measureEnqueue } from './load.js';

export const noop = defineTask({ name: 'bench.noop', input: z.object({ n: z.number() }) });

/** The tasks of a measurement of the fleet. */
export interface FleetLoad {
  readonly definition: TaskDefinition<{ n: number }>;
  /** Null for none. */
  readonly itemOf: (n: number) => string | null;
}

/** The fleet: producer, registry and worker. Throws if the registry is not empty at the end. */
export async function measureFleet(
  redisUrl: string,
  load: Load,
  settings: Pick<ProducerConfig, 'openWebui' | 'telemetry'> = {},
  { definition, itemOf }: FleetLoad = { definition: noop, itemOf: () => null },
): Promise<Throughput> {
  const producer = createProducer({ redisUrl, keyPrefix: 'fleet', ...settings });
  await producer.ping();
  const add = (n: number): Promise<unknown> => producer.enqueue(definition, { n }, optionsOf(itemOf(n)));
  const enqueue = await measureEnqueue(redisUrl, load, () => keepInFlight(load, add));
  const span = new ProcessSpan(redisUrl, load.tasks);
  const worker = await createWorker({
    redisUrl,
    keyPrefix: 'fleet',
    concurrency: load.concurrency,
    handlers: [defineHandler(definition, () => Promise.resolve(span.count()))],
    logLevel: 'warn',
    ...settings,
  });
  await worker.start();
  const process = await span.measured();
  await worker.stop();
  const { tasks } = await producer.list({ limit: 1 });
  await producer.close();
  if (tasks.length > 0) throw new Error('the registry is not empty after the run');
  return { enqueue, process };
}

function optionsOf(item: string | null): { item?: string } {
  return item === null ? {} : { item };
}
