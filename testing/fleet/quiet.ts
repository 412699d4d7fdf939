import { Redis } from 'ioredis';
import { FleetError } from '../../shared/errors.js';
import type { Store } from '../../shared/store.js';
import { Activity } from './activity.js';

export interface IdleOptions {
  /** How long to wait, in ms. Default 4,000, less than the time that Jest and Vitest give a test. */
  readonly timeoutMs?: number | undefined;
  /** Whether to wait for running tasks too, and for those in line behind them. Default true. */
  readonly running?: boolean | undefined;
}

const DEFAULT_TIMEOUT_MS = 4_000;
/** Most ids that an error names. */
const SHOWN = 5;
const { setImmediate } = globalThis;

/** Waits until nothing happens in a fleet, by the events of its queues. */
export class Quiet {
  readonly #events: Redis;

  constructor(
    private readonly store: Store,
    redisUrl: string,
  ) {
    this.#events = new Redis(redisUrl, { lazyConnect: true, protocol: 2 });
    // A lost connection rejects the read in progress.
    this.#events.on('error', () => undefined);
  }

  /** @throws FleetError `WAIT_TIMEOUT`, naming the tasks that are not over */
  async wait({ timeoutMs = DEFAULT_TIMEOUT_MS, running = true }: IdleOptions = {}): Promise<Activity> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const activity = await Activity.read(this.store);
      if (activity.isQuiet(running)) {
        await this.#repliesRead();
        return activity;
      }
      const left = deadline - performance.now();
      if (left < 1) throw notQuiet(activity, timeoutMs);
      await this.#nextEvent(activity, left);
    }
  }

  async #nextEvent({ queues }: Activity, timeoutMs: number): Promise<void> {
    const streams = queues.map(({ queue }) => `${this.store.keys.jobs(queue)}events`);
    await this.#events.xread('COUNT', 1, 'BLOCK', Math.ceil(timeoutMs), 'STREAMS', ...streams, ...queues.map(({ seen }) => seen));
  }

  /** Lets the worker of this process read the replies to what ended last, and call its hooks: Redis has sent them before this answer. */
  async #repliesRead(): Promise<void> {
    await this.store.redis.ping();
    await new Promise((resolve) => setImmediate(resolve));
  }

  close(): void {
    this.#events.disconnect();
  }
}

function notQuiet({ queues }: Activity, timeoutMs: number): FleetError {
  const busy = queues.flatMap(({ queue, paused, running, ready, parked }) => [
    ...described(queue, 'running', running),
    ...described(queue, 'queued', paused ? [] : ready),
    ...described(queue, 'in line for a limit', parked),
  ]);
  return new FleetError('WAIT_TIMEOUT', `The test fleet is not idle after ${timeoutMs} ms: ${busy.join('; ')}.`, {
    details: { timeoutMs, busy },
  });
}

function described(queue: string, state: string, ids: readonly string[]): string[] {
  if (ids.length === 0) return [];
  const more = ids.length > SHOWN ? ` and ${ids.length - SHOWN} more` : '';
  return [`${ids.length} ${state} in queue ${queue} (${ids.slice(0, SHOWN).join(', ')}${more})`];
}
