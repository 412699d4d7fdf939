import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { createProducer } from 'taskfleet/producer';
import { uuidv7 } from 'uuidv7';
import { z } from 'zod';
import { interleave, ratiosTo, rowOf } from '../harness/rounds.js';
import { type SlowestScript, SlowScripts } from '../harness/slow-scripts.js';
import { defineSuite } from '../harness/suite.js';
import { type Load, type Phase, measureEnqueue } from './load.js';

const noop = defineTask({ name: 'bench.bulk', queue: 'bench', input: z.object({ n: z.number() }) });
const ITEMS = 1_000;

const SIDES = {
  addBulk: (url: string, load: Load) => measureAddBulk(url, load, false),
  'addBulk, our ids': (url: string, load: Load) => measureAddBulk(url, load, true),
  enqueueMany: (url: string, load: Load) => measureEnqueueMany(url, load, () => undefined),
  '… on 1,000 items': (url: string, load: Load) => measureEnqueueMany(url, load, (n) => `chat-${n % ITEMS}`),
} as const;
type SideName = keyof typeof SIDES;

export const bulk = defineSuite({
  name: 'bulk',
  about: "Tasks in calls of 1,000: BullMQ's addBulk and enqueueMany",
  sizes: { rounds: { full: 7, quick: 3 }, tasks: { full: 20_000, quick: 5_000 }, call: { full: 1_000, quick: 1_000 } },
  async run(env) {
    const load = { tasks: env.sizes.tasks, inFlight: env.sizes.call, concurrency: 1 };
    const scripts = await SlowScripts.open(env.client);
    const slowest: SlowestScript[] = [];
    const rounds = await interleave(env, Object.keys(SIDES) as SideName[], async (side) => {
      const measured = await SIDES[side](env.redis.url, load);
      const slow = await scripts.slowest();
      if (side === 'enqueueMany') slowest.push(slow);
      return measured;
    });
    await scripts.close();
    const ratios = (better: 'higher' | 'lower') => ratiosTo('enqueueMany', ['addBulk', 'addBulk, our ids'], better);
    return {
      rows: [
        rowOf(rounds, { name: 'enqueue in bulk', unit: 'jobs/s', ratios: ratios('higher') }, ({ rate }) => rate),
        rowOf(rounds, { name: 'enqueue in bulk, CPU in Node', unit: 'µs/job', ratios: ratios('lower') }, ({ cpu }) => cpu.node),
        rowOf(rounds, { name: 'enqueue in bulk, CPU in Redis', unit: 'µs/job', ratios: ratios('lower') }, ({ cpu }) => cpu.redis),
      ],
      notes: [scriptsNote(slowest)],
    };
  },
});

function scriptsNote(rounds: readonly SlowestScript[]): string {
  const highest = (key: 'ms' | 'medianMs' | 'commandMs'): string => `${Math.max(...rounds.map((round) => round[key])).toFixed(1)} ms`;
  const scripts = `scripts of enqueueMany: ${highest('medianMs')} at the median of the slowest round, ${highest('ms')} at most`;
  return `${scripts}, where a single command took up to ${highest('commandMs')}: both had to wait for a core`;
}

async function measureAddBulk(redisUrl: string, load: Load, uuids: boolean): Promise<Phase> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null, protocol: 2 });
  const queue = new Queue('bench', { connection, prefix: 'bare:bull' });
  await queue.waitUntilReady();
  const jobOf = (n: number) => ({ name: 'bench.bulk', data: { n }, opts: uuids ? { jobId: uuidv7() } : {} });
  const phase = await measureEnqueue(redisUrl, load, () => inCalls(load, (ns) => queue.addBulk(ns.map(jobOf))));
  await queue.close();
  connection.disconnect();
  return phase;
}

async function measureEnqueueMany(redisUrl: string, load: Load, itemOf: (n: number) => string | undefined): Promise<Phase> {
  const producer = createProducer({ redisUrl, keyPrefix: 'fleet' });
  await producer.ping();
  const taskOf = (n: number) => ({ input: { n }, item: itemOf(n) });
  const phase = await measureEnqueue(redisUrl, load, () => inCalls(load, (ns) => producer.enqueueMany(noop, ns.map(taskOf))));
  const { count } = await producer.count();
  await producer.close();
  if (count !== load.tasks) throw new Error(`${count} of ${load.tasks} tasks are there`);
  return phase;
}

/** Adds the tasks in calls of `inFlight`, one after the other. */
async function inCalls({ tasks, inFlight }: Load, add: (ns: readonly number[]) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < tasks; from += inFlight)
    await add(Array.from({ length: Math.min(inFlight, tasks - from) }, (_, index) => from + index));
}
