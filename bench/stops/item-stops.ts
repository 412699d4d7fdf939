import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { createProducer } from 'taskfleet/producer';
import { waitForStop } from './stop-latency.js';

/** Milliseconds. */
export interface ItemStop {
  /** `stopItem` without a wait. */
  readonly call: number;
  /** From the call until all stops are settled. */
  readonly settled: number;
}

const ITEM = 'bench-item';
const PATIENCE_MS = 60_000;

/** Stops an item whose tasks all run in another process. */
export async function stopRunning(redisUrl: string, tasks: number): Promise<ItemStop> {
  const child = fork(new URL('./stop-worker.ts', import.meta.url), [redisUrl, String(tasks)], { execArgv: ['--import', 'tsx'] });
  const producer = createProducer({ redisUrl });
  try {
    await told(child, 'ready', 1);
    const started = told(child, 'started', tasks);
    await producer.enqueueMany(
      waitForStop,
      Array.from({ length: tasks }, () => ({ input: {}, item: ITEM })),
    );
    await started;
    const startedAt = performance.now();
    const receipts = await producer.stopItem(ITEM);
    const call = performance.now() - startedAt;
    if (receipts.length !== tasks) throw new Error(`stopItem returned ${receipts.length} of ${tasks} receipts`);
    const ends = await producer.stop(
      receipts.map(({ id }) => id),
      { waitMs: PATIENCE_MS },
    );
    const settled = performance.now() - startedAt;
    if (!ends.every(({ outcome }) => outcome === 'cancelled')) throw new Error('not all tasks were cancelled');
    return { call, settled };
  } finally {
    await producer.close();
    const gone = once(child, 'exit');
    child.disconnect();
    await gone;
  }
}

/** Stops an item whose tasks are all queued. The call settles all of them. */
export async function stopQueued(redisUrl: string, tasks: number): Promise<ItemStop> {
  const producer = createProducer({ redisUrl });
  await producer.enqueueMany(
    waitForStop,
    Array.from({ length: tasks }, () => ({ input: {}, item: ITEM })),
  );
  const startedAt = performance.now();
  const receipts = await producer.stopItem(ITEM);
  const call = performance.now() - startedAt;
  await producer.close();
  if (receipts.length !== tasks || !receipts.every(({ outcome }) => outcome === 'cancelled'))
    throw new Error('not all tasks were cancelled');
  return { call, settled: call };
}

/** Sends open-webui's commands for each task of an item in sequence: its item, the stop command, its removal from both keys. */
export async function stopInTurn(redisUrl: string, tasks: number): Promise<number> {
  const redis = new Redis(redisUrl, { protocol: 2 });
  const ids = Array.from({ length: tasks }, (_, index) => `bench-${index}`);
  await redis.hset('turn:tasks', ...ids.flatMap((id) => [id, ITEM]));
  await redis.sadd('turn:tasks:item', ...ids);
  const startedAt = performance.now();
  for (const id of await redis.smembers('turn:tasks:item')) {
    await redis.hget('turn:tasks', id);
    await redis.publish('turn:tasks:commands', JSON.stringify({ action: 'stop', task_id: id }));
    await redis.hdel('turn:tasks', id);
    await redis.srem('turn:tasks:item', id);
  }
  const took = performance.now() - startedAt;
  redis.disconnect();
  return took;
}

/** Resolves when the child has sent this message `times` times. */
function told(child: ChildProcess, what: string, times: number): Promise<void> {
  return new Promise((resolve) => {
    let left = times;
    child.on('message', (message) => {
      if ((message as { what: string }).what === what && (left -= 1) === 0) resolve();
    });
  });
}
