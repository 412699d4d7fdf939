import type { Step } from '../../shared/step-hook.js';
import { deferred } from '../support/deferred.js';

interface Held {
  readonly step: Step;
  readonly id: string;
  readonly owner: object;
  readonly goOn: () => void;
}

/** Holds whoever comes to a step between two of the product's own, until the run lets it go. */
export class Gates {
  readonly #armed: Step[] = [];
  #held: Held[] = [];
  #open = false;
  #onHold: (() => void)[] = [];

  /** The next one to come to this step is held. */
  arm(step: Step): void {
    this.#armed.push(step);
  }

  /** What a step hook calls. `owner` is who comes by: a worker or a producer. */
  async at(step: Step, id: string, owner: object): Promise<void> {
    const index = this.#armed.indexOf(step);
    if (this.#open || index < 0) return;
    this.#armed.splice(index, 1);
    const gate = deferred();
    this.#held.push({ step, id, owner, goOn: gate.resolve });
    for (const tell of this.#onHold.splice(0)) tell();
    await gate.promise;
  }

  /** Lets one go; says which. */
  release(index: number): string | null {
    const held = this.#held[index % Math.max(1, this.#held.length)];
    if (!held) return null;
    this.#letGo([held]);
    return held.step;
  }

  releaseAllOf(owner: object): void {
    this.#letGo(this.#held.filter((held) => held.owner === owner));
  }

  /** Those of a worker that has died never go on. */
  forget(owner: object): void {
    this.#held = this.#held.filter((held) => held.owner !== owner);
  }

  /** From now on nobody is held. */
  open(): void {
    this.#open = true;
    this.#letGo(this.#held);
  }

  heldAt(step: Step, owner: object): number {
    return this.#held.filter((held) => held.owner === owner && held.step === step).length;
  }

  /** Begins the work, and resolves when it is done, or when somebody is held meanwhile: it may be this work. */
  async doneOrHeld(work: () => Promise<unknown>): Promise<void> {
    const held = deferred();
    this.#onHold.push(held.resolve);
    await Promise.race([work(), held.promise]);
    this.#onHold = this.#onHold.filter((tell) => tell !== held.resolve);
  }

  #letGo(some: readonly Held[]): void {
    this.#held = this.#held.filter((held) => !some.includes(held));
    for (const { goOn } of some) goOn();
  }
}
