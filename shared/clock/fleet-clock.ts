import type { Logger } from '../logger.js';

export interface FleetClockOptions {
  /** Asks Redis for its time, in ms since the epoch. Null while Redis cannot be asked. */
  readonly read: () => Promise<number> | null;
  readonly logger: Logger;
}

/** How often Redis is asked. */
const INTERVAL_MS = 2_000;
/** How far the machine's clock may move against its timers before it is not believed, and Redis is asked at once. */
const JUMP_MS = 500;
/** Redis' times and the machine's are in whole ms. */
const ROUNDING_MS = 1;
/** How much two clocks may drift apart between two answers. */
const DRIFT_MS = 1;
/** Bounds that are further apart than this are those of a slow answer: Redis is asked again soon, some times. */
const WIDE_MS = 20;
const AGAIN = { afterMs: 100, times: 5 } as const;
/** From this difference on, the machine's clock is called wrong: in the log, by `taskfleet doctor` and on the dashboard. */
export const WRONG_CLOCK_MS = 2_000;

/**
 * The time of Redis: the one clock of the fleet. Every time that is stored, and that other processes trust, comes from it,
 * or from `TIME` inside a script.
 *
 * It is the machine's own clock where that agrees with Redis', as far as an answer can tell, and before the first answer.
 * Else, and as soon as the machine's clock jumps, it counts on with the process's monotonic timer.
 */
export class FleetClock {
  readonly #read: FleetClockOptions['read'];
  readonly #logger: Logger;
  /** Redis' time minus performance.now; null while the machine's clock agrees with it. */
  #base: number | null = null;
  /** Date.now minus performance.now when Redis was asked last. */
  #machine = Date.now() - performance.now();
  /** Between what the base is, by the answers so far; of the last one alone if they contradict each other. */
  #bounds: readonly [least: number, most: number] = [-Infinity, Infinity];
  #again: number = AGAIN.times;
  #measuring: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #wrong = false;
  #answered = false;

  constructor({ read, logger }: FleetClockOptions) {
    this.#read = read;
    this.#logger = logger;
  }

  /** Whether Redis has told its time, or refused to. */
  get known(): boolean {
    return this.#answered;
  }

  /** How far the machine's clock is ahead of Redis', in whole ms; negative if it is behind. 0 if they agree. */
  get skewMs(): number {
    return Date.now() - this.now();
  }

  /** In whole ms since the epoch. */
  now(): number {
    const [machine, monotonic] = [Date.now(), performance.now()];
    // The machine's clock was set, or the machine slept and its timers with it.
    const jumped = Math.abs(machine - monotonic - this.#machine) > JUMP_MS;
    if (jumped) void this.measure();
    return this.#base === null && !jumped ? machine : Math.floor((this.#base ?? this.#machine) + monotonic);
  }

  /** Asks Redis every few seconds until `stop`. Does not keep the process. */
  start(): void {
    this.#timer ??= setInterval(() => void this.measure(), INTERVAL_MS).unref();
    void this.measure();
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Asks Redis now, or waits for the answer that is under way. Never rejects: without an answer the time counts on. */
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
      this.#take(time, machine, sentAt, performance.now());
    } catch (error) {
      this.#answered ||= error instanceof Error && error.name === 'ReplyError';
      this.#logger.debug({ error }, 'Redis did not tell its time');
    }
  }

  /** Redis read its clock at some moment between the two: the quicker the answer, the better the bounds. */
  #take(time: number, machine: number, sentAt: number, answeredAt: number): void {
    const told = [time - answeredAt - ROUNDING_MS, time + ROUNDING_MS - sentAt] as const;
    const both = [Math.max(told[0], this.#bounds[0] - DRIFT_MS), Math.min(told[1], this.#bounds[1] + DRIFT_MS)] as const;
    this.#bounds = both[0] <= both[1] ? both : told;
    const [least, most] = this.#bounds;
    this.#machine = machine;
    this.#base = machine >= least && machine <= most ? null : (least + most) / 2;
    this.#judge();
    if (most - least <= WIDE_MS) this.#again = AGAIN.times;
    else if (this.#timer && this.#again > 0) {
      this.#again -= 1;
      setTimeout(() => void this.measure(), AGAIN.afterMs).unref();
    }
  }

  #judge(): void {
    const { skewMs } = this;
    const wrong = Math.abs(skewMs) > WRONG_CLOCK_MS;
    if (wrong === this.#wrong) return;
    this.#wrong = wrong;
    if (wrong)
      this.#logger.warn(
        { aheadMs: skewMs },
        "This machine's clock differs from that of Redis; the fleet goes by Redis'. Synchronise the clocks (NTP)",
      );
    else this.#logger.info({ aheadMs: skewMs }, "This machine's clock agrees with that of Redis again");
  }
}
