import type { Step } from '../../shared/store.js';
import { deferred } from '../support/deferred.js';

interface Held {
  readonly step: Step;
  readonly id: string;
  readonly owner: object;
  readonly goOn: () => void;
}

/** Holds callers at a step between two commands of the product, until the run lets them go. */
export class Gates {
  readonly #armed: Step[] = [];
  #held: Held[] = [];
  #open = false;
  #onHold: (() => void)[] = [];

  /** Holds the next caller at this step. */
  arm(step: Step): void {
    this.#armed.push(step);
  }

  /** Called by step hooks. `owner` is the calling worker or producer. */
  async at(step: Step, id: string, owner: object): Promise<void> {
    const index = this.#armed.indexOf(step);
    if (this.#open || index < 0) return;
    this.#armed.splice(index, 1);
    const gate = deferred();
    this.#held.push({ step, id, owner, goOn: gate.resolve });
    for (const tell of this.#onHold.splice(0)) tell();
    await gate.promise;
  }

  /** Lets one caller go. Returns its description. */
  release(index: number): string | null {
    const held = this.#held[index % Math.max(1, this.#held.length)];
    if (!held) return null;
    this.#letGo([held]);
    return held.step;
  }

  releaseAllOf(owner: object): void {
    this.#letGo(this.#held.filter((held) => held.owner === owner));
  }

  /** Keeps the callers of a dead worker held forever. */
  forget(owner: object): void {
    this.#held = this.#held.filter((held) => held.owner !== owner);
  }

  /** Lets all callers go, and holds none from now on. */
  open(): void {
    this.#open = true;
    this.#letGo(this.#held);
  }

  heldAt(step: Step, owner: object): number {
    return this.#held.filter((held) => held.owner === owner && held.step === step).length;
  }

  /** Starts the work. Resolves when it is done, or when a caller is held meanwhile, possibly in this work. */
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
