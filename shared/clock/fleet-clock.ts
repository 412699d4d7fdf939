import type { Logger } from '../log/logger.js';
import { type RedisConnection, serverOf } from '../redis/connection.js';
import { isReplyError } from '../redis/reply-errors.js';

/** Reads the time of the server that holds a key, in ms since the epoch: each cluster node has its own clock. Null while it is unknown. */
export function redisTime(redis: RedisConnection, key: string): Promise<number> | null {
  const time = serverOf(redis, key)?.time();
  return time?.then(([seconds, micros]) => Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)) ?? null;
}

interface FleetClockOptions {
  /** Reads Redis' time, in ms since the epoch. Null while Redis is not connected. */
  readonly read: () => Promise<number> | null;
  readonly logger: Logger;
  /** How far the fleet's time is ahead of Redis' clock, in tests. Default: not at all. */
  readonly shift?: { readonly ms: number } | undefined;
}

/** How often Redis' time is read. */
const INTERVAL_MS = 2_000;
/** How far the machine's clock may move against its monotonic timer before it counts as set, and Redis' time is read at once. */
const JUMP_MS = 500;
/** Both clocks give whole ms. */
const ROUNDING_MS = 1;
/** How far two clocks may drift apart between two answers. */
const DRIFT_MS = 1;
/** Bounds further apart than this come from a slow answer: the time is read again soon, a few times. */
const WIDE_MS = 20;
const RETRY = { afterMs: 100, times: 5 } as const;
/** Skew at which the machine's clock is reported as wrong: in the log, by `taskfleet doctor` and on the dashboard. */
export const WRONG_CLOCK_MS = 2_000;

/**
 * Redis' time, the fleet's only clock: every stored timestamp comes from it, or from `TIME` inside a script.
 *
 * It returns the machine's time before the first answer and while the two clocks agree within the accuracy of the answers.
 * Otherwise, and as soon as the machine's clock jumps, it extrapolates with the monotonic timer.
 */
export class FleetClock {
  readonly #read: FleetClockOptions['read'];
  readonly #logger: Logger;
  readonly #shift: { readonly ms: number };
  /** Redis' time minus performance.now; null while the machine's clock agrees with it. */
  #base: number | null = null;
  /** Date.now minus performance.now when Redis was asked last. */
  #machine = Date.now() - performance.now();
  /** Bounds of the base by all answers; by the last answer alone if they contradict each other. */
  #bounds: readonly [least: number, most: number] = [-Infinity, Infinity];
  #retriesLeft: number = RETRY.times;
  #measuring: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #wrong = false;
  #answered = false;

  constructor({ read, logger, shift = { ms: 0 } }: FleetClockOptions) {
    this.#read = read;
    this.#logger = logger;
    this.#shift = shift;
  }

  /** Whether Redis has returned its time, or refused to. */
  get known(): boolean {
    return this.#answered;
  }

  /** How far the machine's clock is ahead of Redis', in whole ms; negative if it is behind, 0 if they agree. */
  get skewMs(): number {
    return Date.now() - this.now();
  }

  /** Returns whole ms since the epoch. */
  now(): number {
    return this.#redisNow() + this.#shift.ms;
  }

  #redisNow(): number {
    const machine = Date.now();
    const monotonic = performance.now();
    // The clock was set, or the machine slept and stopped its timers.
    const jumped = Math.abs(machine - monotonic - this.#machine) > JUMP_MS;
    if (jumped) void this.measure();
    return this.#base === null && !jumped ? machine : Math.floor((this.#base ?? this.#machine) + monotonic);
  }

  /** Reads Redis' time every few seconds until `stop`. Does not keep the process alive. */
  start(): void {
    this.#timer ??= setInterval(() => void this.measure(), INTERVAL_MS).unref();
    void this.measure();
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Reads Redis' time now, or waits for the read in progress. Never rejects: without an answer the clock runs on. */
  measure(): Promise<void> {
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  async #measure(): Promise<void> {
    try {
      const sentAt = performance.now();
      const machine = Date.now() - sentAt;
      const time = await this.#read();
      if (time === null) return;
      this.#answered = true;
      this.#update(time, machine, sentAt, performance.now());
    } catch (error) {
      this.#answered ||= isReplyError(error);
      this.#logger.debug({ error }, 'Could not read the time of Redis');
    }
  }

  /** Redis read its clock between `sentAt` and `answeredAt`: the faster the answer, the tighter the bounds. */
  #update(time: number, machine: number, sentAt: number, answeredAt: number): void {
    const fresh = [time - answeredAt - ROUNDING_MS, time + ROUNDING_MS - sentAt] as const;
    const narrowed = [Math.max(fresh[0], this.#bounds[0] - DRIFT_MS), Math.min(fresh[1], this.#bounds[1] + DRIFT_MS)] as const;
    this.#bounds = narrowed[0] <= narrowed[1] ? narrowed : fresh;
    const [least, most] = this.#bounds;
    this.#machine = machine;
    this.#base = machine >= least && machine <= most ? null : (least + most) / 2;
    this.#reportSkew();
    if (most - least <= WIDE_MS) this.#retriesLeft = RETRY.times;
    else if (this.#timer && this.#retriesLeft > 0) {
      this.#retriesLeft -= 1;
      setTimeout(() => void this.measure(), RETRY.afterMs).unref();
    }
  }

  #reportSkew(): void {
    const skewMs = Date.now() - this.#redisNow();
    const wrong = Math.abs(skewMs) > WRONG_CLOCK_MS;
    if (wrong === this.#wrong) return;
    this.#wrong = wrong;
    if (wrong)
      this.#logger.warn(
        { aheadMs: skewMs },
        "This machine's clock differs from Redis'; the fleet uses Redis' clock. Synchronise the clocks (NTP)",
      );
    else this.#logger.info({ aheadMs: skewMs }, "This machine's clock agrees with Redis' again");
  }
}
