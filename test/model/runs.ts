import { type AsyncCommand, asyncModelRun } from 'fast-check';
import type { TestFleet } from '../support/fleet/test-fleet.js';
import { Arena } from './arena.js';
import { bringToEnd } from './ending.js';
import type { Model } from './model.js';
import { World } from './world.js';

/** Performs runs in sequence, on the same arena while they leave it clean. */
export class Runs {
  readonly #fleet: TestFleet;
  #arena: Arena | null = null;
  readonly #abandoned: Promise<void>[] = [];

  constructor(fleet: TestFleet) {
    this.#fleet = fleet;
  }

  /** @throws an error with all events, if an invariant was violated */
  async run(commands: Iterable<AsyncCommand<Model, World>>): Promise<Model> {
    const arena = this.#arena ?? (await Arena.open(this.#fleet));
    this.#arena = null;
    const world = new World(arena);
    try {
      await asyncModelRun(() => ({ model: world.model, real: world }), commands);
      await bringToEnd(world);
      this.#arena = arena;
      return world.model;
    } catch (error) {
      this.#abandoned.push(this.#abandon(arena, world));
      throw error;
    }
  }

  async #abandon(arena: Arena, world: World): Promise<void> {
    world.gates.open();
    for (const call of world.open) call.end('throws');
    await Promise.all(world.died.map(({ user }) => arena.readmit(user)));
    await arena.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#abandoned, this.#arena?.close()]);
  }
}
