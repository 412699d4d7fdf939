import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { membershipsOf, readOptions } from '../task/job-options.js';
import type { Registry } from './registry.js';

/** How long a retry waits for the entry of the task's last run to leave the registry, in ms. */
export const RETRY_PATIENCE_MS = 1_000;
/** A removal answered sooner after the task's end comes before any retry. */
const PROMPT_MS = RETRY_PATIENCE_MS / 2;

/** A task whose entry was removed because the task ended. */
export interface Removal {
  readonly id: string;
  readonly queue: string;
  /** A time before the end, by performance.now. */
  readonly since: number;
}

interface LateRemovalsOptions {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly registry: Registry;
  readonly clock: Pick<FleetClock, 'now'>;
}

/**
 * Restores entries that a late removal took from a retried task: a frozen process may remove the entry of the last run after the retry has
 * stopped waiting for it and registered the task again.
 */
export class LateRemovals {
  constructor(private readonly options: LateRemovalsOptions) {}

  /** Returns the tasks that were retried since their end, before a late removal is sent. Costs nothing for prompt ones. */
  async retried(removals: readonly Removal[]): Promise<ReadonlySet<string>> {
    const late = lateOnes(removals);
    const live = await Promise.all(late.map((removal) => this.#read(removal).then(({ isLive }) => isLive)));
    return new Set(late.flatMap(({ id }, index) => (live[index] ? [id] : [])));
  }

  /** Checks removals that Redis has just answered. Costs nothing for prompt ones. */
  async check(removals: readonly Removal[]): Promise<void> {
    await Promise.all(lateOnes(removals).map((removal) => this.#restore(removal)));
  }

  /** Registers the task if it is live. It may end, and leave the registry, between a read and a write: looks again after each write. */
  async #restore(removal: Removal): Promise<void> {
    const { id, queue } = removal;
    const { redis, registry, clock } = this.options;
    for (let registered = false; ; registered = !registered) {
      const { options, name, isLive } = await this.#read(removal);
      if (isLive === registered) return;
      const writes = registry.writes();
      const memberships = membershipsOf(readOptions(options), name);
      if (isLive) writes.add({ id, queue, ...memberships, at: clock.now() });
      else writes.remove(id, memberships);
      await Promise.all(writes.flushInto(redis));
    }
  }

  async #read({ id, queue }: Removal): Promise<{ options: string | null; name: string | null | undefined; isLive: boolean }> {
    const { redis, keys } = this.options;
    const [options = null, name, finishedOn = null] = await redis.hmget(keys.jobs(queue) + id, 'opts', 'name', 'finishedOn');
    return { options, name, isLive: options !== null && finishedOn === null };
  }
}

/** Returns the removals that come so late that the task may have been retried meanwhile. */
function lateOnes<Some extends Removal>(removals: readonly Some[]): Some[] {
  const now = performance.now();
  return removals.filter(({ since }) => now - since >= PROMPT_MS);
}
