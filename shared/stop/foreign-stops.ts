import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Registry } from '../registry/registry.js';
import type { Asker, CommandPublisher } from './commands.js';
import type { StopAnswer } from './receipt.js';

/** How long told tasks are remembered, in ms: longer than a stop is repeated. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

type ForeignAnswer = StopAnswer & { readonly kind: 'foreign' };

/**
 * Stops tasks of other programs. Such a stop cannot be recorded: the program is told, and the task has ended once its entry has left
 * the registry.
 */
export class ForeignStops {
  readonly #registry: Registry;
  readonly #publisher: CommandPublisher;
  readonly #clock: FleetClock;
  /** Id → time when its program was told, oldest first. */
  readonly #told = new Map<string, number>();

  constructor(registry: Registry, publisher: CommandPublisher, clock: FleetClock) {
    this.#clock = clock;
    this.#registry = registry;
    this.#publisher = publisher;
  }

  /** Tells the programs of these tasks, which were just found in the registry. */
  async stop(ids: readonly string[], asker: Asker): Promise<Map<string, ForeignAnswer>> {
    const now = performance.now();
    for (const id of ids) this.#remember(id, now);
    await this.#publisher.foreign(ids, asker);
    return this.#look(ids);
  }

  /** Answers for an id that no longer exists: a foreign task that we stopped recently, else null. */
  endedByUs(id: string): ForeignAnswer | null {
    const at = this.#told.get(id);
    return at !== undefined && performance.now() - at < REMEMBER_MS ? { kind: 'foreign', goneAt: this.#now() } : null;
  }

  /** Waits until all have left the registry, or until `deadline` (of performance.now). Returns when each was first missing. */
  async untilGone(ids: readonly string[], deadline: number): Promise<Map<string, Date>> {
    const gone = new Map<string, Date>();
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      for (const [id, { goneAt }] of await this.#look(ids.filter((other) => !gone.has(other)))) if (goneAt) gone.set(id, goneAt);
      const left = deadline - performance.now();
      if (gone.size === ids.length || left <= 0) return gone;
      await sleep(Math.min(pauseMs, left));
    }
  }

  async #look(ids: readonly string[]): Promise<Map<string, ForeignAnswer>> {
    const entries = await this.#registry.find(ids);
    const now = this.#now();
    return new Map(ids.map((id, index) => [id, { kind: 'foreign', goneAt: entries[index] ? null : now }]));
  }

  #now(): Date {
    return new Date(this.#clock.now());
  }

  #remember(id: string, now: number): void {
    this.#told.delete(id);
    this.#told.set(id, now);
    if (this.#told.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#told.keys();
    if (oldest !== undefined) this.#told.delete(oldest);
  }
}
