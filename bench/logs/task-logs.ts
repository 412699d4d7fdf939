import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { createProducer } from 'taskfleet/producer';
import { createWorker, defineHandler } from 'taskfleet/worker';
import { z } from 'zod';
import { createKeys } from '../../shared/keys.js';
import { MAX_LOG_BYTES, MAX_LOG_LINES } from '../../shared/log/task-log.js';

export interface LogLoad {
  readonly tasks: number;
  /** Lines that each task logs. */
  readonly lines: number;
  /** Characters of each message. */
  readonly length: number;
}

export interface LogWeight {
  /** Lines logged per second. */
  readonly rate: number;
  /** Memory of Redis per task, in bytes: of the whole task, and of its log alone. */
  readonly perTask: number;
  readonly perLog: number;
  /** The longest log: its lines, and the bytes of their text. */
  readonly mostLines: number;
  readonly mostBytes: number;
  /** Highest heap and external memory of the worker above its start, in bytes. */
  readonly worker: number;
  /** Event loop delay of the worker, in ms. */
  readonly delayP99: number;
}

const KEEP = { ageMs: 3_600_000, count: 1_000_000 };
const logged = defineTask({
  name: 'bench.logged',
  queue: 'bench',
  input: z.object({ lines: z.number(), length: z.number() }),
  retention: { completed: KEEP, failed: KEEP },
});
const CONCURRENCY = 64;
/** Lines between two turns of the event loop, as a handler that works in between. */
const BURST = 100;
const SAMPLE_MS = 50;
const BATCH = 1_000;

/** Runs tasks that log, all retained, and weighs their logs. @throws if a log exceeds its bounds */
export async function weighLogs(redisUrl: string, redis: Redis, { tasks, lines, length }: LogLoad): Promise<LogWeight> {
  const producer = createProducer({ redisUrl, keyPrefix: 'logs' });
  await producer.ping();
  const handler = defineHandler(logged, async ({ log, input }) => {
    for (let n = 1; n <= input.lines; n += 1) {
      log.info({ n }, 'x'.repeat(input.length));
      if (n % BURST === 0) await turn();
    }
  });
  const worker = await createWorker({
    ...{ redisUrl, keyPrefix: 'logs', concurrency: CONCURRENCY, handlers: [handler], logLevel: 'warn' as const },
  });
  await worker.start();
  await worker.ready();
  const before = await datasetBytes(redis);
  const memory = new HighWater();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const from = performance.now();
  for (let added = 0; added < tasks; added += BATCH)
    await producer.enqueueMany(
      logged,
      Array.from({ length: Math.min(BATCH, tasks - added) }, () => ({ input: { lines, length } })),
    );
  const ended = `${createKeys('logs').jobs('bench')}completed`;
  while ((await redis.zcard(ended)) < tasks) await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  const seconds = (performance.now() - from) / 1_000;
  delay.disable();
  const highest = memory.stop();
  await worker.stop();
  await producer.close();
  const perTask = ((await datasetBytes(redis)) - before) / tasks;
  return {
    rate: (tasks * lines) / seconds,
    perTask,
    ...(await logsOf(redis, tasks)),
    worker: highest,
    delayP99: delay.percentile(99) / 1e6,
  };
}

/** Weighs the log of every task. */
async function logsOf(redis: Redis, tasks: number): Promise<Pick<LogWeight, 'perLog' | 'mostLines' | 'mostBytes'>> {
  const jobs = createKeys('logs').jobs('bench');
  let [total, mostLines, mostBytes] = [0, 0, 0];
  for (const id of await redis.zrange(`${jobs}completed`, '0', '-1')) {
    const key = `${jobs}${id}:logs`;
    total += (await redis.memory('USAGE', key, 'SAMPLES', '0')) ?? 0;
    const texts = await redis.lrange(key, 0, -1);
    mostLines = Math.max(mostLines, texts.length);
    mostBytes = Math.max(
      mostBytes,
      texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0),
    );
  }
  if (mostLines > MAX_LOG_LINES || mostBytes > MAX_LOG_BYTES)
    throw new Error(`a log exceeds its bounds: ${mostLines} lines, ${mostBytes} bytes`);
  return { perLog: total / tasks, mostLines, mostBytes };
}

/** Samples the memory of this process. */
class HighWater {
  readonly #start = usedBytes();
  #highest = this.#start;
  readonly #timer = setInterval(() => (this.#highest = Math.max(this.#highest, usedBytes())), SAMPLE_MS);

  /** Returns the highest memory above the start, in bytes. */
  stop(): number {
    clearInterval(this.#timer);
    return this.#highest - this.#start;
  }
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function datasetBytes(redis: Redis): Promise<number> {
  return Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1]);
}
