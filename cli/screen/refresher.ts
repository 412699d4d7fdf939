import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../shared/errors.js';
import { oneLine } from '../text/output.js';

/** A read that takes longer than this makes what is shown stale. */
const SLOW_MS = 3_000;

/** What was read last. */
export interface Snapshot<Value> {
  readonly value: Value;
  readonly readAt: Date;
  /** Why it is not up to date; null if it is. */
  readonly stale: string | null;
}

interface RefresherOptions<Value> {
  readonly read: () => Promise<Value>;
  /** From the end of a read to the next, in ms. */
  readonly intervalMs: number;
  /** Called after each read, successful or not. */
  readonly changed: () => void;
}

/** Reads something again and again. It keeps the last value while reads fail, and says that it is stale. */
export class Refresher<Value> {
  #latest: { readonly value: Value; readonly readAt: Date } | null = null;
  #problem: string | null = null;
  #startedAt: number | null = null;
  #wake = new AbortController();

  constructor(private readonly options: RefresherOptions<Value>) {}

  /** Null until the first value is read. */
  snapshot(): Snapshot<Value> | null {
    if (this.#latest === null) return null;
    const waits = this.#startedAt !== null && performance.now() - this.#startedAt > SLOW_MS;
    return { ...this.#latest, stale: this.#problem ?? (waits ? 'no answer yet' : null) };
  }

  /** Runs until the signal is aborted. @throws what the first read throws; later errors make the value stale */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#read();
      if (signal.aborted) return;
      this.options.changed();
      const wait = AbortSignal.any([signal, this.#wake.signal]);
      await delay(this.options.intervalMs, undefined, { signal: wait }).catch(() => undefined);
    }
  }

  /** Reads now instead of after the interval. */
  refresh(): void {
    this.#wake.abort();
  }

  async #read(): Promise<void> {
    this.#wake = new AbortController();
    this.#startedAt = performance.now();
    try {
      this.#latest = { value: await this.options.read(), readAt: new Date() };
      this.#problem = null;
    } catch (error) {
      if (this.#latest === null) throw error;
      this.#problem = oneLine(messageOf(error));
    } finally {
      this.#startedAt = null;
    }
  }
}

/** `14:47:03`, in the local time zone. */
export function clockTime(time: Date): string {
  return time.toTimeString().slice(0, 8);
}
