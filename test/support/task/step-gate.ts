import type { Step, StepHook } from '../../../shared/store.js';
import { type Deferred, deferred } from '../deferred.js';

/** A caller held at a step. */
export interface Held {
  /** Resolves with the task's id when a caller has reached the step. */
  readonly reached: Promise<string>;
  /** Lets the caller go on. */
  release(): void;
}

/** Holds producers and workers at a step, so that a test can act in between. */
export class StepGate {
  readonly #held = new Map<Step, { only: string | null; reached: Deferred<string>; goOn: Deferred<void> }>();

  readonly onStep: StepHook = async (step, id) => {
    const held = this.#held.get(step);
    if (!held || (held.only !== null && held.only !== id)) return;
    this.#held.delete(step);
    held.reached.resolve(id);
    await held.goOn.promise;
  };

  /** Holds the next caller that reaches this step, with this task if one is given, and none after it. */
  holdNext(step: Step, only: string | null = null): Held {
    const [reached, goOn] = [deferred<string>(), deferred()];
    this.#held.set(step, { only, reached, goOn });
    return { reached: reached.promise, release: () => goOn.resolve() };
  }
}
