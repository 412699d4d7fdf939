import { Redis } from 'ioredis';
import { deferred } from '../../test/support/deferred.js';
import { type Cpu, CpuMeter } from '../harness/cpu.js';

export interface Load {
  readonly tasks: number;
  /** Concurrent enqueues. */
  readonly inFlight: number;
  readonly concurrency: number;
}

/** One phase of a run: its rate in jobs per second and its CPU time per job in µs. */
export interface Phase {
  readonly rate: number;
  readonly cpu: Cpu;
}

export interface Throughput {
  readonly enqueue: Phase;
  readonly process: Phase;
}

/** Measures an enqueue of all tasks. */
export async function measureEnqueue(redisUrl: string, { tasks }: Load, work: () => Promise<unknown>): Promise<Phase> {
  const client = new Redis(redisUrl, { protocol: 2 });
  const meter = await CpuMeter.start(client);
  const start = performance.now();
  await work();
  const rate = (tasks * 1_000) / (performance.now() - start);
  const cpu = await meter.perJob(tasks);
  client.disconnect();
  return { rate, cpu };
}

export async function keepInFlight({ tasks, inFlight }: Load, add: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < tasks) await add(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

/** Measures from the first call of the handler to the last: excludes the time to connect. */
export class ProcessSpan {
  readonly #client: Redis;
  readonly #last = deferred<number>();
  #meter: Promise<CpuMeter> | null = null;
  #seen = 0;
  #start = 0;

  constructor(
    redisUrl: string,
    private readonly tasks: number,
  ) {
    this.#client = new Redis(redisUrl, { protocol: 2 });
  }

  /** Counts a call of the handler. */
  count(): null {
    this.#seen += 1;
    if (this.#seen === 1) {
      this.#meter = CpuMeter.start(this.#client);
      this.#start = performance.now();
    }
    if (this.#seen === this.tasks) this.#last.resolve((this.tasks * 1_000) / (performance.now() - this.#start));
    return null;
  }

  /** Resolves at the last call. */
  async measured(): Promise<Phase> {
    const rate = await this.#last.promise;
    const cpu = await (await (this.#meter as Promise<CpuMeter>)).perJob(this.tasks);
    this.#client.disconnect();
    return { rate, cpu };
  }
}
