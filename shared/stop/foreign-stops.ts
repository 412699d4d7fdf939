import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Registry } from '../registry/registry.js';
import type { TaskReader } from '../task/task-reader.js';
import type { Asker, CommandPublisher } from './commands.js';
import type { StopAnswer } from './receipt.js';

/** How long told tasks are remembered, in ms: longer than a stop is repeated. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

type ForeignAnswer = StopAnswer & { readonly kind: 'foreign' };

/** What became of tasks that looked foreign. */
interface Seen {
  /** Id → when the entry was first missing. */
  readonly gone: Map<string, Date>;
  /** Ids that are tasks of the fleet after all. */
  readonly ours: string[];
}

/**
 * Stops tasks of other programs. Such a stop cannot be recorded: the program is told, and the task has ended once its entry has left
 * the registry.
 *
 * On a cluster, a failover may reorder the writes of a registration or removal, so that a task of the fleet has no queue for a moment and
 * looks foreign. So each answer is checked: a task with a queue or a job is ours.
 */
export class ForeignStops {
  readonly #registry: Registry;
  readonly #reader: TaskReader;
  readonly #publisher: CommandPublisher;
  readonly #clock: FleetClock;
  /** Id → time when its program was told, oldest first. */
  readonly #told = new Map<string, number>();

  constructor(registry: Registry, reader: TaskReader, publisher: CommandPublisher, clock: FleetClock) {
    this.#clock = clock;
    this.#registry = registry;
    this.#reader = reader;
    this.#publisher = publisher;
  }

  /** Tells the programs of these tasks, which were just found in the registry. The answers lack the tasks that are ours. */
  async stop(ids: readonly string[], asker: Asker): Promise<Map<string, ForeignAnswer>> {
    const now = performance.now();
    for (const id of ids) this.#remember(id, now);
    await this.#publisher.foreign(ids, asker);
    const { gone, ours } = await this.#look(ids);
    for (const id of ours) this.#told.delete(id);
    return new Map(ids.flatMap((id) => (ours.includes(id) ? [] : [[id, { kind: 'foreign', goneAt: gone.get(id) ?? null }]])));
  }

  /** Answers for an id that no longer exists: a foreign task that we stopped recently, else null. */
  endedByUs(id: string): ForeignAnswer | null {
    const at = this.#told.get(id);
    return at !== undefined && performance.now() - at < REMEMBER_MS ? { kind: 'foreign', goneAt: this.#now() } : null;
  }

  /** Waits until each has left the registry or turns out to be ours, or until `deadline` (of performance.now). */
  async untilGone(ids: readonly string[], deadline: number): Promise<Seen> {
    const seen: Seen = { gone: new Map(), ours: [] };
    let open = ids;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const { gone, ours } = await this.#look(open);
      for (const [id, at] of gone) seen.gone.set(id, at);
      for (const id of ours) this.#told.delete(id);
      seen.ours.push(...ours);
      open = open.filter((id) => !gone.has(id) && !ours.includes(id));
      const left = deadline - performance.now();
      if (open.length === 0 || left <= 0) return seen;
      await sleep(Math.min(pauseMs, left));
    }
  }

  async #look(ids: readonly string[]): Promise<Seen> {
    const entries = await this.#registry.find(ids);
    const missing = ids.filter((_, index) => entries[index] === null);
    // An entry of ours also leaves the registry, once its task has ended.
    const jobs = missing.length === 0 ? [] : [...(await this.#reader.locate(missing)).byQueue.values()].flat();
    const ours = new Set([...ids.filter((_, index) => entries[index]?.queue), ...jobs]);
    const now = this.#now();
    return { gone: new Map(missing.flatMap((id) => (ours.has(id) ? [] : [[id, now]]))), ours: [...ours] };
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
