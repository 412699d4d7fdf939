import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { type Producer, createProducer } from 'taskfleet/producer';
import { z } from 'zod';

export const HOP_CHANNEL = 'bench:hop';
export const waitForStop = defineTask({
  name: 'bench.wait-for-stop',
  queue: 'bench',
  input: z.object({}),
});
/** A task that keeps slots busy. */
export const busyTask = defineTask({ name: 'bench.busy', queue: 'bench-busy', input: z.object({}) });
export const BUSY_SLOTS = 50;
export const BUSY_MS = 50;

/** An observation of the other process, in ms of the monotonic clock. */
export interface Seen {
  readonly what: 'ready' | 'started' | 'aborted' | 'heard';
  readonly id: string;
  readonly at: number;
}

/** Milliseconds, one value per round. */
export interface StopLatency {
  /** From PUBLISH in one process to the message in the other. */
  readonly hop: number[];
  /** From the call of `producer.stop` in one process to the abort in the other. */
  readonly abort: number[];
  /** From the same call to the receipt with `cancelled`. */
  readonly receipt: number[];
}

interface StopRounds {
  readonly rounds: number;
  /** Subscribed in total; all but one in a separate process. */
  readonly workers: number;
  /** With every slot of another worker in the process taken by short tasks, and Redis busy for this share of its time. Default: idle. */
  readonly loaded?: number;
}

/** More than a run takes. */
const BUSY_TASKS = 20_000;
/** Rounds before the first that counts. */
const WARM_UP = 30;
/** Before each hop and each stop: both processes have finished what the last step began. */
const PAUSE_MS = 3;

/** Stops tasks in another process, one at a time, each beside a bare pub/sub hop to the same process while the task is running. */
export async function measureStops(redisUrl: string, { rounds, workers, loaded }: StopRounds): Promise<StopLatency> {
  const child = startChild('./stop-worker.ts', [redisUrl, '100', ...(loaded === undefined ? [] : ['busy'])]);
  const crowd = workers > 1 ? startChild('./stop-crowd.ts', [redisUrl, String(workers - 1)]) : null;
  if (crowd) await readyChild(crowd);
  let load: ChildProcess | null = null;
  const seen = new Sightings(child);
  const publisher = new Redis(redisUrl, { protocol: 2 });
  const producer = createProducer({ redisUrl });
  const latency: StopLatency = { hop: [], abort: [], receipt: [] };
  try {
    await seen.wait('ready', '');
    if (loaded !== undefined) {
      for (let filled = 0; filled < BUSY_TASKS; filled += BUSY_TASKS / 10)
        await producer.enqueueMany(
          busyTask,
          Array.from({ length: BUSY_TASKS / 10 }, () => ({ input: {} })),
        );
      load = startChild('./redis-load.ts', [redisUrl, String(loaded)]);
      await readyChild(load);
    }
    for (let round = -WARM_UP; round < rounds; round += 1) {
      const measured = await stopOne(producer, publisher, seen, String(round));
      if (round < 0) continue;
      latency.hop.push(measured.hop);
      latency.abort.push(measured.abort);
      latency.receipt.push(measured.receipt);
    }
    if (loaded !== undefined && (await publisher.llen(`taskfleet:bull:${busyTask.queue}:wait`)) === 0)
      throw new Error('no busy tasks were left');
    return latency;
  } finally {
    await producer.close();
    publisher.disconnect();
    await Promise.all([child, crowd, load].flatMap((one) => (one ? [endChild(one)] : [])));
  }
}

export function startChild(file: string, args: readonly string[]): ChildProcess {
  return fork(new URL(file, import.meta.url), args, { execArgv: ['--import', 'tsx'] });
}

/** Waits for the first message of a process. @throws if it ends before */
async function readyChild(child: ChildProcess): Promise<void> {
  const ready = new AbortController();
  const ended = once(child, 'exit', { signal: ready.signal }).then(([code]) => {
    throw new Error(`a process of the benchmark ended with exit code ${code}`);
  });
  await Promise.race([once(child, 'message'), ended]).finally(() => {
    ended.catch(() => undefined);
    ready.abort();
  });
}

export async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}

async function hop(publisher: Redis, seen: Sightings, id: string): Promise<number> {
  const start = now();
  await publisher.publish(HOP_CHANNEL, id);
  return (await seen.wait('heard', id)) - start;
}

async function stopOne(
  producer: Producer,
  publisher: Redis,
  seen: Sightings,
  round: string,
): Promise<{ hop: number; abort: number; receipt: number }> {
  const { id } = await producer.enqueue(waitForStop, {});
  await seen.wait('started', id);
  await sleep(PAUSE_MS);
  const hopped = await hop(publisher, seen, round);
  await sleep(PAUSE_MS);
  const start = now();
  const receipt = await producer.stop(id, { waitMs: 5_000 });
  const end = now();
  if (receipt.outcome !== 'cancelled') throw new Error(`a stop was not settled: ${receipt.outcome}`);
  return { hop: hopped, abort: (await seen.wait('aborted', id)) - start, receipt: end - start };
}

function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The reports of the child. */
class Sightings {
  readonly #seen = new Map<string, number>();
  readonly #waiting = new Map<string, (at: number) => void>();

  constructor(child: ChildProcess) {
    child.on('message', (message) => {
      const { what, id, at } = message as Seen;
      const key = `${what} ${id}`;
      const waiting = this.#waiting.get(key);
      if (waiting) waiting(at);
      else this.#seen.set(key, at);
    });
  }

  wait(what: Seen['what'], id: string): Promise<number> {
    const key = `${what} ${id}`;
    const at = this.#seen.get(key);
    return at === undefined ? new Promise((resolve) => this.#waiting.set(key, resolve)) : Promise.resolve(at);
  }
}
