import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createProducer } from 'taskfleet/producer';
import { startChild, waitForStop } from './stop-latency.js';

/** Milliseconds. */
export interface ItemStop {
  /** `stopItem` without a wait. */
  readonly call: number;
  /** `stopItem` with a wait for all tasks, of the same number of other tasks. */
  readonly settled: number;
}

const ITEM = 'bench-item';
const PATIENCE_MS = 60_000;
/** Before a stop: the worker has finished its fetches. */
const PAUSE_MS = 200;

/** Stops an item whose tasks all run in another process. */
export async function stopRunning(redisUrl: string, tasks: number): Promise<ItemStop> {
  // Quiet: a thousand messages about aborts would count as part of the stop.
  const child = startChild('./stop-worker.ts', [redisUrl, String(tasks), 'quiet']);
  const producer = createProducer({ redisUrl });
  try {
    await told(child, 'ready', 1);
    const stop = async (waitMs: number): Promise<number> => {
      const started = told(child, 'started', tasks);
      await producer.enqueueMany(
        waitForStop,
        Array.from({ length: tasks }, () => ({ input: {}, item: ITEM })),
      );
      await started;
      await sleep(PAUSE_MS);
      const startedAt = performance.now();
      const receipts = await producer.stopItem(ITEM, { waitMs });
      const took = performance.now() - startedAt;
      const ends = await producer.stop(
        receipts.map(({ id }) => id),
        { waitMs: PATIENCE_MS },
      );
      if (ends.length !== tasks || !ends.every(({ outcome }) => outcome === 'cancelled')) throw new Error('not all tasks were cancelled');
      return took;
    };
    return { call: await stop(0), settled: await stop(PATIENCE_MS) };
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

/** What any stop of a queued job must write: its stop, its end, its place. */
const BARE_STOP = `
for i = 4, #ARGV do
  local id = ARGV[i]
  redis.call('HSET', ARGV[1] .. id, 'stop', ARGV[2], 'failedReason', 'Stopped', 'finishedOn', ARGV[3])
  redis.call('LREM', KEYS[1], -1, id)
  redis.call('ZADD', KEYS[2], ARGV[3], id)
  redis.call('XADD', KEYS[3], '*', 'event', 'failed', 'jobId', id, 'failedReason', 'Stopped', 'prev', 'waiting')
end`;
const BARE_AT_ONCE = 250;

/** Ends as many queued tasks as {@link stopQueued} by a bare script, pipelined, without registry, answers or retention. Returns ms. */
export async function stopBare(redisUrl: string, tasks: number): Promise<number> {
  const producer = createProducer({ redisUrl });
  const added = await producer.enqueueMany(
    waitForStop,
    Array.from({ length: tasks }, () => ({ input: {}, item: ITEM })),
  );
  await producer.close();
  const redis = new Redis(redisUrl, { protocol: 2 });
  const jobs = `taskfleet:bull:${waitForStop.queue}:`;
  const keys = ['wait', 'failed', 'events'].map((name) => jobs + name);
  const ids = added.map(({ id }) => id);
  const startedAt = performance.now();
  const scripts: Promise<unknown>[] = [];
  for (let from = 0; from < ids.length; from += BARE_AT_ONCE)
    scripts.push(redis.eval(BARE_STOP, keys.length, ...keys, jobs, '{"at":1}', Date.now(), ...ids.slice(from, from + BARE_AT_ONCE)));
  await Promise.all(scripts);
  const took = performance.now() - startedAt;
  if ((await redis.zcard(`${jobs}failed`)) !== tasks) throw new Error('not all tasks were ended');
  redis.disconnect();
  return took;
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
