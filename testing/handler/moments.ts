import { badArgument } from '../../shared/arguments.js';

/** A moment of a run: its first chunk, a number of ms after the call of the handler, or when a promise settles. */
export type Moment = 'first-chunk' | number | PromiseLike<unknown>;

/** Acts at moments of one run, until the run ends. */
export class Moments {
  readonly #timers: NodeJS.Timeout[] = [];
  #onChunk: (() => void)[] = [];
  #over = false;

  at(moment: Moment, act: () => void): void {
    const actInTime = (): void => {
      if (!this.#over) act();
    };
    if (moment === 'first-chunk') this.#onChunk.push(actInTime);
    else if (typeof moment === 'number') this.#timers.push(setTimeout(actInTime, moment));
    else void Promise.resolve(moment).then(actInTime, actInTime);
  }

  /** Acts after the handler's current synchronous code, as a stop from another process does at the earliest. */
  chunkEmitted(): void {
    for (const act of this.#onChunk.splice(0)) void Promise.resolve().then(act);
  }

  clear(): void {
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

/** @throws FleetError `INVALID_OPTION` */
export function checkMoment(field: string, moment: unknown): void {
  const isTime = typeof moment === 'number' && Number.isFinite(moment) && moment >= 0;
  const isPromise = typeof moment === 'object' && moment !== null && 'then' in moment;
  if (moment === undefined || moment === 'first-chunk' || isTime || isPromise) return;
  throw badArgument('INVALID_OPTION', field, "'first-chunk', ms from 0, or a promise", moment);
}
