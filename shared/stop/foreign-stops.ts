import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Registry } from '../registry/registry.js';
import type { StopAnswer } from './answer.js';
import type { Asker, CommandPublisher } from './command-publisher.js';

/** How long it is known which tasks were told, in ms: longer than a stop is repeated for. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

type ForeignAnswer = StopAnswer & { readonly kind: 'foreign' };

/**
 * Stops tasks of other programs. Nothing can be recorded for such a task: its program is told, and the task is over once its entry
 * has left the registry.
 */
export class ForeignStops {
  readonly #registry: Registry;
  readonly #publisher: CommandPublisher;
  readonly #clock: FleetClock;
  /** Id → when it was told, in the order of time. */
  readonly #told = new Map<string, number>();

  constructor(registry: Registry, publisher: CommandPublisher, clock: FleetClock) {
    this.#clock = clock;
    this.#registry = registry;
    this.#publisher = publisher;
  }

  /** Tells the programs that have these tasks, which were in the registry a moment ago. */
  async stop(ids: readonly string[], asker: Asker): Promise<Map<string, ForeignAnswer>> {
    const now = performance.now();
    for (const id of ids) this.#remember(id, now);
    await this.#publisher.foreign(ids, asker);
    return this.#look(ids);
  }

  /** The answer for an id that is nowhere: it was another program's, and our word has ended it, if it was told; else null. */
  endedByUs(id: string): ForeignAnswer | null {
    const at = this.#told.get(id);
    return at !== undefined && performance.now() - at < REMEMBER_MS ? { kind: 'foreign', goneAt: this.#now() } : null;
  }

  /** Resolves when all have left the registry, or at `deadline` (of performance.now). Returns when each was seen to be gone. */
  async untilGone(ids: readonly string[], deadline: number): Promise<Map<string, Date>> {
    const gone = new Map<string, Date>();
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      for (const [id, { goneAt }] of await this.#look(ids.filter((one) => !gone.has(one)))) if (goneAt) gone.set(id, goneAt);
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
