import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { type Producer, createProducer } from 'taskfleet/producer';
import { z } from 'zod';

export const HOP_CHANNEL = 'bench:hop';
export const waitForStop = defineTask({
  name: 'bench.wait-for-stop',
  queue: 'bench',
  input: z.object({}),
  retention: { completed: { ageMs: 3_600_000, count: 10_000 }, failed: { ageMs: 7 * 24 * 3_600_000, count: 10_000 } },
});

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

/**
 * Stops tasks in another process, one at a time, each paired with a bare pub/sub hop to the same process. `workers` are subscribed in
 * total; the others run in a separate process.
 */
export async function measureStops(redisUrl: string, { rounds, workers }: { rounds: number; workers: number }): Promise<StopLatency> {
  const child = startChild('./stop-worker.ts', [redisUrl]);
  const crowd = workers > 1 ? startChild('./stop-crowd.ts', [redisUrl, String(workers - 1)]) : null;
  if (crowd) await once(crowd, 'message');
  const seen = new Sightings(child);
  const publisher = new Redis(redisUrl, { protocol: 2 });
  const producer = createProducer({ redisUrl });
  const latency: StopLatency = { hop: [], abort: [], receipt: [] };
  try {
    await seen.wait('ready', '');
    for (let round = 0; round < rounds; round += 1) {
      latency.hop.push(await hop(publisher, seen, String(round)));
      const stop = await stopOne(producer, seen);
      latency.abort.push(stop.abort);
      latency.receipt.push(stop.receipt);
    }
    return latency;
  } finally {
    await producer.close();
    publisher.disconnect();
    await Promise.all([child, ...(crowd ? [crowd] : [])].map(endChild));
  }
}

function startChild(file: string, args: readonly string[]): ChildProcess {
  return fork(new URL(file, import.meta.url), args, { execArgv: ['--import', 'tsx'] });
}

async function endChild(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}

async function hop(publisher: Redis, seen: Sightings, id: string): Promise<number> {
  const start = now();
  await publisher.publish(HOP_CHANNEL, id);
  return (await seen.wait('heard', id)) - start;
}

async function stopOne(producer: Producer, seen: Sightings): Promise<{ abort: number; receipt: number }> {
  const { id } = await producer.enqueue(waitForStop, {});
  await seen.wait('started', id);
  const start = now();
  const receipt = await producer.stop(id, { waitMs: 5_000 });
  const end = now();
  if (receipt.outcome !== 'cancelled') throw new Error(`a stop was not settled: ${receipt.outcome}`);
  return { abort: (await seen.wait('aborted', id)) - start, receipt: end - start };
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
